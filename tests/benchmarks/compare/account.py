"""Add the lists of custom field values, which only other tools read, to a simulated account."""

import re
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate

from acsync.datasets import DATASETS, Dataset, Record
from acsync.simulator.account import Account
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Answer, Call

# An escaped NUL in JSON, unless the backslash is itself escaped.
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def add_lists(account: Account, *, has_nul: bool) -> None:
    """Let the account serve the lists; without `has_nul`, remove NUL from all answers."""
    # The tap requests the root first, to check the key.
    account.faults.add(Fault("root", lambda call: not call.path, reply=lambda *_: Answer(data={})))
    account.faults.add(*(ValueList(account, dataset).fault for dataset in DATASETS.values()))
    if not has_nul:
        account.faults.add(Fault("no NUL", reply=_without_nul))


def _without_nul(_call: Call, answer: Answer) -> Answer:
    return replace(answer, data=None, body=NUL.sub(rb"\1", answer.content()))


class ValueList:
    """The collection of all custom field values of a dataset, one row per value, in id order."""

    def __init__(self, account: Account, dataset: Dataset) -> None:
        self._account, self._dataset = account, dataset
        self._counts: dict[int, int] = {}
        self.fault = Fault(dataset.sideload, lambda call: call.path == dataset.sideload, reply=self)

    def __call__(self, call: Call, _answer: Answer) -> Answer:
        """Answer as documented: the values from the offset on, and their total."""
        ids = self._account.ids(self._dataset.name)
        ends = [*accumulate(self._count(record) for record in ids)]
        place, offset, limit = bisect_right(ends, call.offset), call.offset, call.limit()
        skipped = offset - (ends[place - 1] if place else 0)
        rows: list[Record] = []
        while place < len(ids) and len(rows) < skipped + limit:
            rows += self._values(ids[place])
            place += 1
        total = str(ends[-1]) if ends else "0"
        page = rows[skipped : skipped + limit]
        return Answer(data={self._dataset.sideload: page, "meta": {"total": total}})

    def _count(self, record: int) -> int:
        """Return the number of values of a record, which changes never alter."""
        if record not in self._counts:
            self._counts[record] = len(self._values(record))
        return self._counts[record]

    def _values(self, record: int) -> list[Record]:
        try:
            return self._account.record(self._dataset.name, record)[1]
        except KeyError:  # deleted since the ids were read
            return []
