"""Compare what is published with what a simulated account really holds, record by record."""

import json
from dataclasses import dataclass
from decimal import Decimal

import orjson

from acsync.models import DATASETS, DatasetName, Record
from acsync.simulator.account import Account
from acsync.store.database import Database
from acsync.store.snapshot import published_ids, published_records

BATCH = 1_000


@dataclass(frozen=True)
class Comparison:
    """How one dataset compares with the account; `differing` names up to ten ids."""

    records: int
    missing: int
    invented: int
    differing: tuple[int, ...]

    @property
    def exact(self) -> bool:
        """Return whether the copy equals the account."""
        return not (self.missing or self.invented or self.differing)


def compare(database: Database, account: Account) -> dict[DatasetName, Comparison]:
    """Compare both datasets with what the simulator expects, which it makes without enrich."""
    return {name: _compare_dataset(database, account, name) for name in DATASETS}


def _compare_dataset(database: Database, account: Account, name: DatasetName) -> Comparison:
    expected, published = account.ids(name), published_ids(database, name)
    differing: list[int] = []
    for start in range(0, len(published), BATCH):
        ids = published[start : start + BATCH]
        records = published_records(database, name, ids)
        differing += [
            number for number in ids if records[number] != _plain(account.expected(name, number))
        ]
    return Comparison(
        len(published),
        len(set(expected) - set(published)),
        len(set(published) - set(expected)) + len(published) - len(set(published)),
        tuple(differing[:10]),
    )


def _plain(record: Record) -> Record:
    """Turn the simulator's ready-made pages of JSON into values."""
    plain: Record = json.loads(orjson.dumps(record), parse_float=Decimal)
    return plain
