"""The arrays that come with a page: custom field values, and relations if the account has them."""

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from acsync.activecampaign.page import NOT_PUBLISHED, Page
from acsync.datasets import (
    RELATIONS,
    Dataset,
    Record,
    Relation,
    RelationName,
    as_list,
    is_masked,
    pick,
)
from acsync.errors import PaginationError

# The key of an array, and the id of an object in it.
ValueName: TypeAlias = tuple[str, str]

# The count of the objects of all arrays together.
ALL_ARRAYS = ""

logger = logging.getLogger(__name__)


def join_includes(dataset: Dataset, relations: Iterable[RelationName]) -> str:
    """Return the parameter `include` for custom field values and relations."""
    return ",".join([dataset.sideload, *(RELATIONS[name].include for name in relations)])


def array_keys(dataset: Dataset, relations: Iterable[RelationName]) -> list[str]:
    """Return the keys of the arrays that come with a page, custom field values first."""
    related = [RELATIONS[name] for name in relations]
    keys = [key for relation in related for key in (relation.key, relation.explained_by) if key]
    return [dataset.sideload, *keys]


def visible_rows(page: Page) -> dict[int, Record]:
    """Return rows by id, without masked deals: they name values that the key cannot see."""
    return {
        row_id: row for row_id, row in zip(page.ids, page.rows, strict=True) if not is_masked(row)
    }


def require_arrays(dataset: Dataset, page: Page) -> None:
    """Raise PaginationError if an array is missing from a page whose records may name values.

    A record without the key of an array may still have values in it.
    """
    rows = visible_rows(page).values()
    related = [RELATIONS[name] for name in page.relations]
    needed = [
        key
        for key in (dataset.sideload, *(relation.key for relation in related))
        if any(row.get(key) not in ([], {}) for row in rows)
    ]
    needed += [
        relation.explained_by
        for relation in related
        if relation.explained_by and page.sideloads.get(relation.key)
    ]
    for key in needed:
        if key not in page.sideloads:
            raise PaginationError(
                f"/{dataset.path} sent its records without {key}: it ignores include, and the "
                "values would be lost.",
                NOT_PUBLISHED,
            )


def find_stray(dataset: Dataset, page: Page) -> str:
    """Describe the first sideloaded row that does not name the record that names it, or "".

    Rows that no record of the page names are ignored. Some answers contain rows of other records,
    and a row that was added between the two queries of a page arrives with the next sync.
    """
    owner_keys: dict[str, Sequence[str]] = {dataset.sideload: dataset.owner_keys}
    owner_keys |= {RELATIONS[name].key: ("contact",) for name in page.relations}
    for key, keys in owner_keys.items():
        rows = page.sideloads.get(key, [])
        owners = {str(row.get("id")): str(pick(row, *keys)) for row in rows}
        for record_id, row in zip(map(str, page.ids), page.rows, strict=True):
            for row_id in as_list(row.get(key)) or ():
                if owners.get(str(row_id), record_id) != record_id:
                    return (
                        f"{key} {row_id}, which record {record_id} names, without that record's "
                        f"id in {' or '.join(keys)}"
                    )
    return ""


def require_landed(dataset: Dataset, page: Page) -> None:
    """Raise PaginationError if a sideloaded row does not name the record that names it."""
    if stray := find_stray(dataset, page):
        raise PaginationError(f"/{dataset.path} sent {stray}: it would be lost.", NOT_PUBLISHED)


def came_with(dataset: Dataset, page: Page) -> dict[int, set[ValueName]]:
    """Return, by record id, the names of the values that came."""
    sent = sent_names(dataset, page)
    return {record: names & sent for record, names in named_values(dataset, page).items()}


def sent_names(dataset: Dataset, page: Page) -> set[ValueName]:
    """Return the names of all objects that came with a page."""
    return {
        (key, str(value.get("id")))
        for key in array_keys(dataset, page.relations)
        for value in page.sideloads.get(key, [])
    }


def count_objects(dataset: Dataset, page: Page) -> Counter[str]:
    """Return how many objects came in each array, and in all of them."""
    keys = array_keys(dataset, page.relations)
    counts = Counter({key: len(page.sideloads.get(key, [])) for key in keys})
    counts[ALL_ARRAYS] = counts.total()
    return counts


def named_values(dataset: Dataset, page: Page) -> dict[int, set[ValueName]]:
    """Return, by record id, the values that each record names, except masked deals."""
    keys = [dataset.sideload, *(RELATIONS[name].key for name in page.relations)]
    names = {
        record: {(key, name) for key in keys for name in _ids(row.get(key))}
        for record, row in visible_rows(page).items()
    }
    for relation in (RELATIONS[name] for name in page.relations):
        if relation.explained_by:
            _add_explanations(page, relation, relation.explained_by, names)
    return names


def _add_explanations(
    page: Page, relation: Relation, key: str, names: dict[int, set[ValueName]]
) -> None:
    """Add the rows that a relation points to, such as the tag of a `contactTags` row."""
    column = key.removesuffix("s")
    for row in page.sideloads.get(relation.key, []):
        record = str(row.get("contact"))
        if record.isdigit() and int(record) in names:
            names[int(record)].add((key, str(row.get(column))))


def _ids(value: object) -> set[str]:
    return {str(name) for name in as_list(value) or () if isinstance(name, str | int)}


class OptionalRelations:
    """The relations that a sync leaves out of one dataset, and why; shared between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[RelationName, str] = {}

    @property
    def reasons(self) -> Mapping[RelationName, str]:
        """Return why each relation was left out: the call and how it failed."""
        with self._lock:
            return dict(self._reasons)

    def usable(self, names: Iterable[RelationName]) -> tuple[RelationName, ...]:
        """Return the relations that were not left out."""
        left_out = self.reasons
        return tuple(name for name in names if name not in left_out)

    def leave_out(self, names: Iterable[RelationName], reason: str) -> None:
        """Stop asking for these relations; the first reason stays."""
        with self._lock:
            for name in names:
                if name not in self._reasons:
                    logger.warning("%s are left out: %s", name, reason)
                    self._reasons[name] = reason
