"""Read one account for the HTTP service; requests share the answers of Postgres and Prefect.

Everything raises AcsyncError if Postgres or Prefect does not answer.
"""

import json
import logging
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Request

from acsync.errors import AcsyncError
from acsync.settings import Settings
from acsync.store.database import Database, require_current_schema
from acsync.store.dictionary import Dictionary, read_dictionary
from acsync.store.schema_owner import read_account
from acsync.store.sync_history import read_totals
from acsync.store.sync_status import SyncStatus, read_status
from acsync.store.verification import read_verifications
from acsync.web.cached import Cached
from acsync.web.dashboard import (
    COLUMNS,
    MARKS,
    Live,
    make_rows,
    make_strip,
    next_steps,
    psql_line,
    read_live,
    read_week,
    time_left,
)
from acsync.web.freshness import Judgement, judge
from acsync.web.metrics import Scrape, make_registry
from acsync.web.queries import read_cookbook
from acsync.web.trigger import Trigger
from flows.runs import read_next_start

# Seconds for which an answer of Postgres or Prefect is used again.
STATUS_SECONDS, LIVE_SECONDS, NEXT_START_SECONDS, WEEK_SECONDS = 0.2, 1.0, 15.0, 5.0
# It counts the values of all records.
DICTIONARY_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Service:
    """One account: its settings, what is kept of the last answers, and its trigger."""

    def __init__(self, settings: Settings, database: Database, account: str | None) -> None:
        self.settings, self._database, self._account = settings, database, account
        self.trigger = Trigger(database, account)
        # Kept as JSON, so that many requests per second share it.
        self.status = Cached(self._read_status, STATUS_SECONDS)
        self.week = Cached(lambda: read_week(database), WEEK_SECONDS)
        self.dictionary = Cached(self._read_dictionary, DICTIONARY_SECONDS)
        self._live = Cached(self._read_live, LIVE_SECONDS)
        self._next_start = Cached(self._read_next_start, NEXT_START_SECONDS)
        self.registry = make_registry(self._scrape)
        self.cookbook = read_cookbook()
        # Both read files.
        self.version, self.psql = version("acsync"), psql_line(settings, database)

    async def close(self) -> None:
        """Stop the sync that was started here, if any."""
        await self.trigger.close()
        self._database.close()

    async def judge(self) -> Judgement:
        """Judge the published data."""
        status, _ = await self.status.get()
        return judge(status, self.settings.datasets, datetime.now(UTC))

    async def live_values(self) -> dict[str, Any]:
        """Return the values of the template `live.html`."""
        live, next_start = await self._live.get(), await self._next_start.get()
        return {
            "live": live,
            "progress": live.running.progress if live.running else [],
            "left": time_left(live.running) if live.running else None,
            "strip": make_strip(live.runs, live.status.interval),
            "columns": COLUMNS,
            "rows": make_rows(live.runs),
            "next_start": next_start,
            "next_steps": next_steps(self._account, next_start is not None, live.status.interval),
            "marks": MARKS,
        }

    def _read_status(self) -> tuple[SyncStatus, bytes]:
        require_current_schema(self._database)
        status = read_status(self._database)
        return status, json.dumps(status.as_json()).encode()

    def _read_live(self) -> Live:
        require_current_schema(self._database)
        name = read_account(self._database) or self._account or "an account not synced yet"
        return read_live(self._database, name, self.settings.datasets)

    def _read_dictionary(self) -> Dictionary:
        require_current_schema(self._database)
        return read_dictionary(self._database)

    def _read_next_start(self) -> datetime | None:
        try:
            return read_next_start(self._account)
        except AcsyncError as error:
            logger.warning("the time of the next scheduled sync is not known: %s", error)
            return None

    def _scrape(self) -> Scrape:
        require_current_schema(self._database)
        with self._database.begin() as connection:
            totals, verifications = read_totals(connection), read_verifications(connection)
        status = read_status(self._database)
        chosen = self.settings.datasets
        published = {name: data for name, data in status.published.items() if name in chosen}
        # Before the first sync, only the settings know the account.
        account = read_account(self._database) or self.settings.account_name
        return Scrape(
            account,
            chosen,
            published,
            status.latest,
            status.running,
            totals,
            status.interval,
            verifications,
        )


def get_service(request: Request) -> Service:
    """Return the service of the app that was asked."""
    service: Service = request.app.state.service
    return service


OurService: TypeAlias = Annotated[Service, Depends(get_service)]
