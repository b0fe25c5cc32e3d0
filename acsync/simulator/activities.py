"""Invent the activities of deals: how each came to its present stage and status, and then moves."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from acsync.datasets import Record
from acsync.simulator.id_store import without_order
from acsync.simulator.records import DEAL_SALT, Deals
from acsync.simulator.requests import Call
from acsync.simulator.values import STAMPS, Template, created_and_updated, draw, load, stamp

Order: TypeAlias = Literal["ascending", "descending", "none"]

ACTIVITY_SALT = 41
STAGE, STATUS, EMAIL = "d_stageid", "status", "email"

_ROW = Template(load("deals")["activity"])


class Activity(NamedTuple):
    """One row: `kind` is its `dataType`, `was` and `became` its `dataOldval` and `dataAction`."""

    id: int
    deal: int
    kind: str
    was: str
    became: str
    at: str


# Kind, value before and value after.
Step: TypeAlias = tuple[str, str, str]

CREATED: Step = ("", "", "add")
NOTE: Step = ("note", "", "add")
MAIL: Step = (EMAIL, "", "Dear customer, this is the body of an email.")


class Activities:
    """The activities of an account, in the order of their ids; new ones have the highest."""

    def __init__(self, seed: int, deals: Deals, ids: Iterable[int]) -> None:
        self._seed = seed
        self._deals = deals
        self.rows: list[Activity] = []
        history = sorted(
            (place, deal, number, step)
            for deal in ids
            for number, (place, step) in enumerate(self._history(deal))
        )
        for place, deal, _, step in history:
            self._append(deal, step, STAMPS[place])

    def add(self, deal: int, at: float) -> None:
        """Note that a deal was created, and closed at once if that is its status."""
        _, status = self._deals.position(deal, 0)
        closed = [] if status == "0" else [(STATUS, "0", status)]
        for step in (CREATED, *closed):
            self._append(deal, step, stamp(at))

    def change(self, deal: int, version: int, at: float) -> None:
        """Note how the stage and status of a deal differ from the version before."""
        before = self._deals.position(deal, version - 1)
        now = self._deals.position(deal, version)
        for kind, was, became in zip((STAGE, STATUS), before, now, strict=True):
            if was != became:
                self._append(deal, (kind, was, became), stamp(at))

    def delete(self, deal: int) -> None:
        """Remove the activities of a deleted deal, which moves all later ones up."""
        self.rows = [row for row in self.rows if row.deal != deal]

    def page(self, call: Call, order: Order) -> tuple[list[Record], int]:
        """Return the requested rows and the total."""
        rows: Sequence[Activity] = self.rows
        if call.params.get("exclude") == EMAIL:
            rows = [row for row in rows if row.kind != EMAIL]
        if (kind := call.params.get("filters[data_type]")) is not None:
            rows = [row for row in rows if row.kind == kind]
        start, stop = call.offset, call.offset + call.limit()
        if order == "none":
            page = without_order(rows, start, stop, call.number)
        else:
            page = [*(rows if order == "ascending" else rows[::-1])[start:stop]]
        return [self._render(row) for row in page], len(rows)

    def _history(self, deal: int) -> list[tuple[int, Step]]:
        """Return the steps to the first position of a deal, each with its place in time."""
        created, updated = created_and_updated(draw(self._seed, DEAL_SALT, deal), 0)
        steps = [*self._steps(deal)]
        spread = max(updated - created, 0)
        return [
            (created + spread * number // len(steps), step) for number, step in enumerate(steps)
        ]

    def _steps(self, deal: int) -> Iterable[Step]:
        bits = draw(self._seed, ACTIVITY_SALT, deal)
        stage, status = self._deals.position(deal, 0)
        stages = [self._deals.position(deal, 7 + number)[0] for number in range(bits % 4)]
        moves = [(STAGE, was, became) for was, became in pairwise([*stages, stage])]
        closing = [] if status == "0" else [(STATUS, "0", status)]
        yield CREATED
        if bits % 3 == 0:
            yield MAIL
        if bits % 8 == 0:
            yield from ((STATUS, "0", "2"), NOTE, (STATUS, "2", "0"))
        # Some deals move after they were closed.
        yield from (closing + moves if bits % 5 == 0 else moves + closing)
        yield NOTE

    def _append(self, deal: int, step: Step, at: str) -> None:
        kind, was, became = step
        if was == became:
            return
        last = self.rows[-1].id if self.rows else 0
        number = last + 1 + draw(self._seed, ACTIVITY_SALT, last) % 3
        self.rows.append(Activity(number, deal, kind, was, became, at))

    def _render(self, row: Activity) -> Record:
        user = str(row.id % 5)
        return _ROW.new(row.id) | {
            "d_id": str(row.deal),
            "deal": str(row.deal),
            "userid": user,
            "user": user if row.id % 5 else None,
            "dataType": row.kind,
            "dataOldval": row.was,
            "dataAction": row.became,
            "cdate": row.at,
            "sortdate": row.at,
        }
