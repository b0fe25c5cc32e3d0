"""The arrays that come with a page: custom field values, and relations as long as they come."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from acsync.activecampaign.page import NOT_PUBLISHED, Page, record_id
from acsync.datasets import RELATIONS, Dataset, Record, RelationName, is_masked
from acsync.errors import PaginationError
from acsync.models import as_list

logger = logging.getLogger(__name__)


def join_includes(dataset: Dataset, relations: Iterable[RelationName]) -> str:
    """Return the parameter `include` for custom field values and relations."""
    return ",".join([dataset.sideload, *(RELATIONS[name].include for name in relations)])


def array_keys(dataset: Dataset, relations: Iterable[RelationName]) -> list[str]:
    """Return the keys of the arrays that come with a page, custom field values first."""
    related = [RELATIONS[name] for name in relations]
    keys = [key for relation in related for key in (relation.key, relation.beside) if key]
    return [dataset.sideload, *keys]


def visible_rows(page: Page) -> list[Record]:
    """Return the rows of a page without masked deals, which name values that the key cannot see."""
    return [row for row in page.rows if not is_masked(row)]


def require_arrays(dataset: Dataset, page: Page) -> None:
    """Raise PaginationError if an array is missing from a page whose records may name values.

    A record without the key of an array may have values in it.
    """
    rows = visible_rows(page)
    related = [RELATIONS[name] for name in page.relations]
    needed = [
        key
        for key in (dataset.sideload, *(relation.key for relation in related))
        if any(row.get(key) not in ([], {}) for row in rows)
    ]
    needed += [
        relation.beside
        for relation in related
        if relation.beside and page.sideloads.get(relation.key)
    ]
    for key in needed:
        if key not in page.sideloads:
            raise PaginationError(
                f"/{dataset.path} sent its records without {key}: it ignores include, and the "
                "values would be lost.",
                NOT_PUBLISHED,
            )


@dataclass(frozen=True)
class Stray:
    """A sideloaded row that `record` names and that does not name `record` in return."""

    key: str
    row_id: str
    record: str
    owner_keys: Sequence[str]


def find_stray(dataset: Dataset, page: Page) -> Stray | None:
    """Return the first sideloaded row that would not land on the record that names it.

    Rows that no record of the page names are ignored: some answers carry rows of other records,
    and a row that was added between the two queries of a page comes again with the next sync.
    """
    owner_keys: dict[str, Sequence[str]] = {dataset.sideload: dataset.owner_keys}
    owner_keys |= {RELATIONS[name].key: ("contact",) for name in page.relations}
    for key, keys in owner_keys.items():
        owners = {str(row.get("id")): _owner(row, keys) for row in page.sideloads.get(key, [])}
        for row in page.rows:
            record = str(record_id(row))
            for row_id in as_list(row.get(key)) or ():
                if owners.get(str(row_id), record) != record:
                    return Stray(key, str(row_id), record, keys)
    return None


def _owner(row: Record, keys: Sequence[str]) -> str:
    return str(next((row[key] for key in keys if row.get(key) is not None), None))


def require_landed(dataset: Dataset, page: Page) -> None:
    """Raise PaginationError if a sideloaded row would not land on the record that names it."""
    if stray := find_stray(dataset, page):
        raise PaginationError(
            f"/{dataset.path} sent {stray.key} {stray.row_id}, which record {stray.record} names, "
            f"without that record's id in {' or '.join(stray.owner_keys)}: it would be lost.",
            NOT_PUBLISHED,
        )


class OptionalRelations:
    """The relations that one dataset is read without, for the rest of one sync, and why."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[RelationName, str] = {}

    @property
    def reasons(self) -> Mapping[RelationName, str]:
        """Return why each relation was left out: the call and how it failed."""
        with self._lock:
            return dict(self._reasons)

    def usable(self, names: Iterable[RelationName]) -> tuple[RelationName, ...]:
        """Return those of the relations that are still asked for."""
        left_out = self.reasons
        return tuple(name for name in names if name not in left_out)

    def leave_out(self, names: Iterable[RelationName], reason: str) -> None:
        """Stop asking for these relations; the first reason stays."""
        with self._lock:
            for name in names:
                if name not in self._reasons:
                    logger.warning("%s are left out: %s", name, reason)
                    self._reasons[name] = reason
