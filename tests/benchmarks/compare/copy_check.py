"""Hold what a tool left in Postgres against the account."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from acsync.models import DatasetName, Record
from acsync.simulator.account import Account

# The columns that each tool's query selects behind the id.
COLUMNS: dict[DatasetName, tuple[str, ...]] = {
    "contacts": ("email", "phone", "firstName", "lastName"),
    "deals": ("title", "value", "currency", "status"),
}
Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class Check:
    """How one dataset compares, in records; `doubled` are rows beyond the first of an id."""

    expected: int
    present: int
    extra: int
    doubled: int
    differing: int

    @property
    def exact(self) -> bool:
        """Return whether each record is there once, as it is in the account, and no other."""
        return self.present == self.expected and not (self.extra or self.doubled or self.differing)


def check_records(rows: Rows, account: Account, dataset: DatasetName) -> Check:
    """Compare ids and columns with an account that nobody changes."""
    ids = {*account.ids(dataset)}
    copied = {int(row[0]): row[1:] for row in rows}
    common = ids & copied.keys()
    differing = sum(
        _texts(copied[one]) != _texts(_columns(account.record(dataset, one)[0], dataset))
        for one in common
    )
    return Check(
        len(ids), len(common), len(copied) - len(common), len(rows) - len(copied), differing
    )


def matching_values(rows: Rows, account: Account) -> tuple[int, int]:
    """Return how many custom field values of contacts have their title, and how many exist."""
    titles = {field["id"]: field["title"] for field in account.metadata.listings["contact_fields"]}
    expected = Counter(
        (one, *_texts((titles[value["field"]], value["value"])))
        for one in account.ids("contacts")
        for value in account.record("contacts", one)[1]
        if value["field"] in titles
    )
    copied = Counter((int(row[0]), *_texts(row[1:])) for row in rows)
    return (expected & copied).total(), expected.total()


def _columns(row: Record, dataset: DatasetName) -> list[Any]:
    return [row.get(name) for name in COLUMNS[dataset]]


def _texts(values: Iterable[Any]) -> tuple[str | None, ...]:
    return tuple(None if value is None else _text(value) for value in values)


def _text(value: Any) -> str:
    """Return a value as text, numbers in one form, and without NUL.

    Postgres cannot hold NUL: some tools leave it out, the Singer target writes U+FFFD for it.
    """
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value).replace("\0", "").replace("\ufffd", "")
