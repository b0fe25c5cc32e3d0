"""Deploy on the Prefect API, and put the interval in force in the database."""

from contextlib import closing

from rich.console import Console

from acsync.errors import StoreError
from acsync.local.embedded_postgres import with_database_url
from acsync.schedule import DEFAULT_INTERVAL
from acsync.settings import Settings
from acsync.store.database import open_database, require_current_schema
from acsync.store.interval import confirm_interval
from flows.deployment import deploy


def run_deploy(
    console: Console,
    settings: Settings,
    account: str | None,
    alert_url: str | None,
    verify_daily: bool | None,
) -> None:
    """Deploy an account, and print one line per step."""
    for line in deploy(account, alert_url, verify_daily):
        console.print(line, soft_wrap=True)
    try:
        with closing(open_database(with_database_url(settings, start=False))) as database:
            require_current_schema(database)
            confirm_interval(database, settings.interval or DEFAULT_INTERVAL)
    except StoreError as error:
        # The Prefect API and the database are often reached from different machines.
        console.print(f"The next sync stores the interval. {error.message}", soft_wrap=True)
