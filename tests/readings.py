"""Walk an account in memory, without sockets, waits or Postgres, so that thousands are seconds."""

from collections.abc import Iterable, Iterator

import httpx

from acsync.activecampaign.budget import CallBudget
from acsync.activecampaign.client import Client, Patience
from acsync.activecampaign.closing import close_gaps
from acsync.activecampaign.gate import Walked, require_complete
from acsync.activecampaign.paging import END, Walk
from acsync.activecampaign.slices import NEWEST_SLICE, Interval, Piece, Plan, Slice, plan_slices
from acsync.datasets import DATASETS, DatasetName
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.application import answer_bent
from acsync.simulator.calls import Call

TIRELESS = Patience(first_wait_seconds=0, longest_pause_seconds=0)
"""Waits are for the clock: here trouble follows trouble at once."""

MOST_ROUNDS = 300
"""The copy gives up far sooner and comes again later; here there is no later."""


def account_of(records: int, page_cap: int = 100) -> Account:
    return Account(
        AccountOptions(contacts=records, deals=records, values_per_record=1, page_cap=page_cap)
    )


def client_of(account: Account) -> Client:
    """Connect to the account without a socket, so that thousands of walks take seconds."""

    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/3/")
        number = account.statistics.accept(path)
        call = Call(path, dict(request.url.params), number, account.options.page_cap)
        answer = answer_bent(account, call)
        if answer.ending == "reset":
            raise httpx.RemoteProtocolError("peer closed connection")
        if answer.delay_seconds > TIRELESS.read_timeout_seconds:
            raise httpx.ReadTimeout("timed out")
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content())

    transport = httpx.MockTransport(respond)
    return Client("http://localhost/api/3/", "key", CallBudget(1e9), TIRELESS, transport)


class Reading:
    """One walk of a dataset, kept in memory as the store keeps it in staging."""

    def __init__(self, account: Account, name: DatasetName, page_size: int) -> None:
        self.account = account
        self.name = name
        self.page_size = page_size
        self.walk = Walk(client_of(account), DATASETS[name], page_size)
        self.covered: dict[int, Interval] = {}
        self.ids: set[int] = set()

    def plan(self) -> Plan:
        newest = self.walk.read_newest()
        self.keep(NEWEST_SLICE, [newest])
        return plan_slices(DATASETS[self.name], newest, self.page_size)

    def keep(self, number: int, pieces: Iterable[Piece]) -> None:
        for piece in list(pieces):
            if not piece.ids and piece.covered.last == END:
                continue
            self.ids |= set(piece.ids)
            first, last = piece.covered.first, piece.covered.last
            if number in self.covered:
                first = min(first, self.covered[number].first)
                last = max(last, self.covered[number].last)
            self.covered[number] = Interval(first, last)

    def read(self, wanted: Slice) -> Iterator[Piece]:
        return self.walk.read_slice(wanted)

    def close(self, plan: Plan) -> Walked:
        newest = close_gaps(self.walk, plan, lambda: self.covered, self.keep, MOST_ROUNDS)
        planned = sum(record <= plan.newest_id for record in self.ids)
        return Walked(newest.newest_id, newest.total, len(self.ids), planned)

    def run(self) -> set[int]:
        plan = self.plan()
        for part in plan.slices:
            self.keep(part.number, self.read(part))
        require_complete(plan, self.covered.values(), self.close(plan))
        return self.ids
