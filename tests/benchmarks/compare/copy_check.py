"""Compare the copy of a tool with the account."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from acsync.datasets import DatasetName, Record
from acsync.simulator.account import Account

# The columns that each tool's query selects after the id.
COLUMNS: dict[DatasetName, tuple[str, ...]] = {
    "contacts": ("email", "phone", "firstName", "lastName"),
    "deals": ("title", "value", "currency", "status"),
}
Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class Check:
    """Counts of records of one dataset; `doubled` counts all rows of an id except the first."""

    expected: int
    present: int
    unknown: int
    doubled: int
    differing: int

    @property
    def is_exact(self) -> bool:
        """Return whether the copy has each record once, unchanged, and no other."""
        wrong = self.unknown or self.doubled or self.differing
        return self.present == self.expected and not wrong

    def __str__(self) -> str:
        if self.is_exact:
            return "all, exact"
        wrong = {"doubled": self.doubled, "unknown": self.unknown, "differing": self.differing}
        parts = [f"{count:,} {name}" for name, count in wrong.items() if count]
        return ", ".join([f"{self.present:,} of {self.expected:,}", *parts])


def check_records(rows: Rows, account: Account, dataset: DatasetName) -> Check:
    """Compare ids and columns with an account that nobody changes."""
    ids = {*account.ids(dataset)}
    copied = {int(row[0]): row[1:] for row in rows}
    common = ids & copied.keys()
    differing = sum(
        _texts(copied[record]) != _texts(_columns(account.record(dataset, record)[0], dataset))
        for record in common
    )
    return Check(
        len(ids), len(common), len(copied) - len(common), len(rows) - len(copied), differing
    )


def check_values(rows: Rows, account: Account) -> str:
    """Compare contact, title and value of the custom field values of contacts."""
    titles = {field["id"]: field["title"] for field in account.metadata.listings["contact_fields"]}
    expected = Counter(
        (contact, *_texts((titles[value["field"]], value["value"])))
        for contact in account.ids("contacts")
        for value in account.record("contacts", contact)[1]
        if value["field"] in titles
    )
    copied = Counter((int(row[0]), *_texts(row[1:])) for row in rows)
    matching, total = (expected & copied).total(), expected.total()
    return "all" if matching == total else f"{matching:,} of {total:,}"


def _columns(row: Record, dataset: DatasetName) -> list[Any]:
    return [row.get(name) for name in COLUMNS[dataset]]


def _texts(values: Iterable[Any]) -> tuple[str | None, ...]:
    return tuple(None if value is None else _text(value) for value in values)


def _text(value: Any) -> str:
    """Return a value as text, without NUL; equal numbers have equal texts.

    Postgres cannot store NUL. Some tools omit it, and the Singer target writes U+FFFD for it.
    """
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value).replace("\0", "").replace("\ufffd", "")
