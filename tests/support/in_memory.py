"""Walk an account in memory, without sockets, waits or Postgres: thousands in seconds."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.handlers import format_date_time

import httpx

from acsync.activecampaign.client import Client, Exchange, RequestLimits
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.page_reader import PageReader
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.sideloads import OptionalRelations
from acsync.activecampaign.slices import NEWEST_SLICE, plan_slices
from acsync.activecampaign.walk import Walk, WalkPage
from acsync.datasets import DATASETS, DatasetName, RelationName
from acsync.readings import Copied, Interval, Plan, Slice
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.answers import answer_with_faults
from acsync.simulator.requests import Call
from acsync.sync.completeness import Walked, judge_total, require_complete
from acsync.sync.context import RECOUNT_PAUSES
from acsync.sync.gap_fill import End, GapFill
from acsync.sync.verify import close_walk

TIRELESS = RequestLimits(first_wait_seconds=0, max_pause_seconds=0)
"""Retries follow at once, without waiting for the clock."""

MAX_ROUNDS = 300
"""Far more than in a sync, which can leave the rest to the next one."""


class SkippingClock:
    """The real time plus all that was slept; `slept` are those seconds.

    With it a client waits for a server in real time, and for pauses and retries not at all.
    """

    def __init__(self) -> None:
        self.slept = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time in seconds."""
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Skip some seconds."""
        with self._lock:
            self.slept += seconds


def account_of(records: int, page_cap: int = 100, **options: Any) -> Account:
    options = {"values_per_record": 1, **options}
    return Account(AccountOptions(contacts=records, deals=records, page_cap=page_cap, **options))


def client_of(
    account: Account,
    limits: RequestLimits = TIRELESS,
    calls_per_second: float = 1e9,
    observe: Callable[[Exchange], None] | None = None,
) -> Client:
    """Connect to the account without a socket, so that thousands of walks take seconds."""

    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/3/")
        number = account.statistics.accept(path)
        call = Call(path, dict(request.url.params), number, account.options.page_cap)
        answer = answer_with_faults(account, call)
        if answer.ending == "reset":
            raise httpx.RemoteProtocolError("peer closed connection")
        if answer.delay_seconds > limits.read_timeout_seconds:
            raise httpx.ReadTimeout("timed out")
        stream = httpx.ByteStream(answer.content())
        headers = {"Date": format_date_time(account.now())} | dict(answer.headers)
        return httpx.Response(answer.status, headers=headers, stream=stream)

    clock = SkippingClock()
    limiter = RateLimiter(calls_per_second, clock=clock, sleep=clock.sleep)
    transport, key = httpx.MockTransport(respond), account.options.api_key
    return Client("http://localhost/api/3/", key, limiter, limits, transport, observe)


class Reading:
    """One walk of a dataset, kept in memory as the store keeps it in staging."""

    def __init__(
        self,
        account: Account,
        name: DatasetName,
        page_size: int,
        relations: tuple[RelationName, ...] = (),
        limits: RequestLimits = TIRELESS,
    ) -> None:
        self.account = account
        self.name = name
        self.page_size = page_size
        self.optional = OptionalRelations()
        pages = PageReader(
            client_of(account, limits),
            page_size,
            MissingValues(DATASETS[name]),
            relations,
            optional=self.optional,
        )
        self.walk = Walk(pages)
        self.covered: dict[int, Interval] = {}
        self.ids: set[int] = set()
        self.values: set[str] = set()
        self.related: dict[str, set[str]] = {}

    def plan(self) -> Plan:
        newest = self.walk.read_newest()
        self.keep(NEWEST_SLICE, [newest])
        plan = plan_slices(DATASETS[self.name], newest, self.page_size)
        self.page_rows = plan.page_rows
        return plan

    def keep(self, number: int, pages: Iterable[WalkPage]) -> Copied:
        for page in list(pages):
            self.ids |= set(page.ids)
            self.values |= {str(value["id"]) for value in page.values}
            for key, rows in page.related.items():
                self.related.setdefault(key, set()).update(str(row["id"]) for row in rows)
            first, last = page.covered.first, page.covered.last
            if number in self.covered:
                first = min(first, self.covered[number].first)
                last = max(last, self.covered[number].last)
            self.covered[number] = Interval(first, last)
        return Copied()

    def read(self, part: Slice) -> Iterator[WalkPage]:
        return self.walk.read_slice(part, self.page_rows)

    def gap_fill(self, plan: Plan) -> GapFill:
        return GapFill(self.walk, plan, lambda: self.covered, self.keep, MAX_ROUNDS)

    def close(self, plan: Plan, end: End) -> Walked:
        """Do what `verify` does, without its pauses."""

        def count(newest: WalkPage) -> Walked:
            planned = sum(record <= plan.newest_id for record in self.ids)
            newer = sum(record > max(newest.newest_id, plan.newest_id) for record in self.ids)
            return Walked(plan, newest.newest_id, newest.total, len(self.ids), planned, newer)

        pauses = [0.0] * len(RECOUNT_PAUSES)
        walked, _ = close_walk(self.gap_fill(plan), end, count, pauses)
        return walked

    def run(self) -> set[int]:
        plan = self.plan()
        for part in plan.slices:
            self.keep(part.number, self.read(part))
        self.require_complete(plan, self.gap_fill(plan).read_newest())
        return self.ids

    def require_complete(self, plan: Plan, end: End) -> None:
        walked = self.close(plan, end)
        require_complete(self.covered.values(), walked)
        judge_total(walked, earlier=())
