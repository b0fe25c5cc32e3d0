"""Deploy on the Prefect API, and put the interval in force in the database."""

from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from acsync.cli.options import AccountName, console, settings_of, warn_of_unknown_variables
from acsync.errors import StoreError
from acsync.schedule import DEFAULT_INTERVAL
from acsync.settings import DATABASE, SCHEDULE, Settings, read_together

VARIABLES = (*DATABASE, *SCHEDULE, "ACSYNC_ALERT_URL")


def deploy(
    verify_daily: Annotated[
        bool | None,
        typer.Option(
            "--verify-daily/--no-verify-daily",
            help="Also verify the copy every day. Default: as the last time.",
        ),
    ] = None,
    account: AccountName = None,
) -> None:
    """Create the deployment and its alerts on the Prefect API."""
    warn_of_unknown_variables()
    from flows.notifications import require_alert_url
    from flows.prefect_api import require_api_url

    settings, *_ = read_together(
        lambda: settings_of(account, VARIABLES), require_alert_url, require_api_url
    )
    run_deploy(console, settings, account, verify_daily)


def run_deploy(
    console: Console,
    settings: Settings,
    account: str | None,
    verify_daily: bool | None,
) -> None:
    """Deploy an account, and print one line per step."""
    from flows import deployment

    alert_url = settings.alert_url.get_secret_value() if settings.alert_url else None
    for line in deployment.deploy(account, alert_url, verify_daily):
        console.print(line, soft_wrap=True)
    _store_interval(console, settings)


def _store_interval(console: Console, settings: Settings) -> None:
    from acsync.local.embedded_postgres import with_database_url
    from acsync.store.database import open_database, require_current_schema
    from acsync.store.interval import confirm_interval

    try:
        with closing(open_database(with_database_url(settings, start=False))) as database:
            require_current_schema(database)
            confirm_interval(database, settings.interval or DEFAULT_INTERVAL)
    except StoreError as error:
        # The Prefect API and the database are often reached from different machines.
        console.print(f"The next sync stores the interval. {error.message}", soft_wrap=True)
