"""Answer requests about one account; requests share the answers of Postgres."""

import json
import logging
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client.exposition import choose_encoder

from acsync.errors import AcsyncError
from acsync.settings import Settings
from acsync.store.database import Database, require_current_schema
from acsync.store.dictionary import Dictionary, read_dictionary
from acsync.store.schema_owner import read_account
from acsync.store.sync_history import read_totals
from acsync.store.sync_status import SyncStatus, read_status
from acsync.store.verification import read_verifications
from acsync.web.cached import Cached
from acsync.web.charts import FEWEST_POINTS, make_charts
from acsync.web.dashboard import (
    COLUMNS,
    Live,
    make_rows,
    make_strip,
    next_steps,
    psql_line,
    read_live,
    read_week,
    time_left,
)
from acsync.web.data_page import JOINS, KEYS, make_boxes, make_topics
from acsync.web.freshness import GREY, Judgement, judge
from acsync.web.metrics import Scrape, make_registry
from acsync.web.pages import render_badge, render_page
from acsync.web.queries import FIRST, PITFALLS, read_cookbook, views
from acsync.web.trigger import Trigger
from flows.links import ui_url
from flows.runs import read_next_start, run_url

# Seconds for which an answer of Postgres or Prefect is used again.
STATUS_SECONDS, LIVE_SECONDS, NEXT_START_SECONDS, WEEK_SECONDS = 0.2, 1.0, 15.0, 5.0
# It counts the values of all records.
DICTIONARY_SECONDS = 60.0

MARKS = {"complete": "✓", "partly": "◐", "failed": "✕", "running": "…", "none": ""}

logger = logging.getLogger(__name__)


class Service:
    """One account's endpoints; they raise AcsyncError if Postgres or Prefect does not answer."""

    def __init__(self, settings: Settings, database: Database, account: str | None) -> None:
        self._settings, self._database, self._account = settings, database, account
        self._trigger = Trigger(database, account)
        # Kept as JSON, so that many requests per second share it.
        self._status = Cached(self._read_status, STATUS_SECONDS)
        self._live = Cached(self._read_live, LIVE_SECONDS)
        self._next_start = Cached(self._read_next_start, NEXT_START_SECONDS)
        self._week = Cached(lambda: read_week(database), WEEK_SECONDS)
        self._dictionary = Cached(self._read_dictionary, DICTIONARY_SECONDS)
        self._registry = make_registry(self._scrape)
        self._cookbook = read_cookbook()
        # Both read files.
        self._version, self._psql = version("acsync"), psql_line(settings, database)

    async def close(self) -> None:
        """Stop the sync that was started here, if any."""
        await self._trigger.close()
        self._database.close()

    async def sync_status(self) -> Response:
        """Return what `acsync status --json` prints."""
        _, payload = await self._status.get()
        return Response(payload, media_type="application/json")

    async def sync_activecampaign(
        self,
        wait: Annotated[
            bool, Query(description="Answer when the sync has ended; false: at once.")
        ] = True,
    ) -> Response:
        """Run a sync; a client that hangs up stops nothing."""
        return await self._trigger.sync(wait)

    async def healthz(self) -> Response:
        """Return 200 if the last full sync of every dataset is not stale, else 503."""
        try:
            bad = [
                dataset.sentence
                for dataset in (await self._judge()).datasets
                if dataset.verdict in ("stale", "never")
            ]
        except AcsyncError as error:
            bad = [str(error)]
        if not bad:
            return JSONResponse({"status": "ok"})
        return JSONResponse(
            {"error": "Unhealthy." if self._settings.private else " ".join(bad)}, 503
        )

    async def metrics(self, request: Request) -> Response:
        """Return the metrics for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        text = await to_thread.run_sync(encode, self._registry)
        return Response(text, headers={"content-type": content_type})

    async def badge(self) -> Response:
        """Return the age of the oldest dataset as a picture, also if it is not known."""
        try:
            judgement = await self._judge()
        except AcsyncError:
            return render_badge("unknown", GREY)
        return render_badge(judgement.badge, judgement.look.colour)

    async def dashboard(self) -> Response:
        """Return the page for people."""
        live, week = await self._live.get(), await self._week.get()
        questions = chain.from_iterable(self._cookbook.values())
        return render_page(
            "dashboard.html",
            **await self._live_values(live),
            charts=make_charts(week),
            points=len(week),
            fewest_points=FEWEST_POINTS,
            views=views(live.status),
            questions=[question for question in questions if question.name in FIRST],
            psql=self._psql,
            prefect_url=ui_url(),
            version=self._version,
        )

    async def live(self) -> Response:
        """Return the live part of the page."""
        return render_page("live.html", **await self._live_values(await self._live.get()))

    async def queries(self) -> Response:
        """Return the cookbook's page."""
        return render_page("queries.html", topics=self._cookbook)

    async def data(self) -> Response:
        """Return the data dictionary of the account."""
        dictionary = await self._dictionary.get()
        return render_page(
            "data.html",
            topics=make_topics(dictionary),
            fields=dictionary.fields,
            records=dictionary.records,
            boxes=make_boxes(),
            joins=JOINS,
            keys=KEYS,
            pitfalls=self._cookbook[PITFALLS],
        )

    async def openapi(self, request: Request) -> Response:
        """Return the API's document."""
        return JSONResponse(request.app.openapi())

    async def _live_values(self, live: Live) -> dict[str, Any]:
        next_start = await self._next_start.get()
        return {
            "live": live,
            "progress": live.running.progress if live.running else [],
            "left": time_left(live.running) if live.running else None,
            "strip": make_strip(live.runs, live.status.interval),
            "columns": COLUMNS,
            "rows": make_rows(live.runs, run_url),
            "next_start": next_start,
            "next_steps": next_steps(self._account, next_start is not None, live.status.interval),
            "marks": MARKS,
        }

    async def _judge(self) -> Judgement:
        status, _ = await self._status.get()
        return judge(status, self._settings.datasets, datetime.now(UTC))

    def _read_status(self) -> tuple[SyncStatus, bytes]:
        require_current_schema(self._database)
        status = read_status(self._database)
        return status, json.dumps(status.as_json()).encode()

    def _read_live(self) -> Live:
        require_current_schema(self._database)
        name = read_account(self._database) or self._account or "an account not synced yet"
        return read_live(self._database, name, self._settings.datasets)

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
        chosen = self._settings.datasets
        published = {name: data for name, data in status.published.items() if name in chosen}
        # Before the first sync, only the settings know the account.
        account = read_account(self._database) or self._settings.account_name
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
