"""Hold an invented account: which records exist, what its API is like, what breaks."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from acsync.models import DATASETS, DatasetName, Record
from acsync.simulator.fault_injection import Faults
from acsync.simulator.id_store import IdStore, Selected
from acsync.simulator.metadata import build_metadata
from acsync.simulator.records import Contacts, Deals
from acsync.simulator.requests import Call, RateWindow, Statistics
from acsync.simulator.values import Slots, draw, make_contact_fields, make_deal_fields

MASK_SALT = 31
ORPHAN_SALT = 32

# The ids of values of deleted fields begin here.
FIRST_ORPHAN = 900_000_000


@dataclass(frozen=True)
class AccountOptions:
    """Counts of records, fields, stages and users, and how the API treats its callers.

    `rate_limit` is calls in any sliding second (None: no limit), `retry_after_seconds` what a 429
    asks for (None: says nothing); `rate_window` tells whether any sliding second is counted or each
    second of the clock. Calls arrive up to `arrival_jitter_seconds` late. `masked_share` the share
    of deals that are stubs. `camel_case_values` serves the custom field values of deals in the
    other spelling in use; without `has_crm` the plan has no deals. `relations` tells whether tags
    and lists come along with contacts: an `include` of them can be ignored, refused, or forbidden
    to the key. `orphan_share` is the share of records, stubs too, that name a value of a deleted
    field; with `omits_empty_relations` a record without values has no key for them.
    """

    contacts: int = 2500
    deals: int = 1200
    seed: int = 1
    api_key: str = field(default="simulated-key", repr=False)
    contact_fields: int = 8
    deal_fields: int = 8
    stages: int = 12
    users: int = 6
    values_per_record: int = 8
    rate_limit: float | None = 10
    rate_window: RateWindow = "sliding"
    arrival_jitter_seconds: float = 0.0
    retry_after_seconds: int | None = 1
    latency_seconds: float = 0.0
    page_cap: int = 100
    camel_case_values: bool = False
    has_crm: bool = True
    masked_share: float = 0.005
    tags: int = 12
    lists: int = 4
    relations: Literal["served", "ignored", "refused", "forbidden"] = "served"
    orphan_share: float = 0.0
    omits_empty_relations: bool = False


class Account:
    """An account that is served, and may be changed at any moment from any thread.

    `metadata.listings` are plain lists of rows; `faults`, `statistics` and `options` say how
    calls go. Nothing is stored for a record but its id, until it changes.
    """

    def __init__(self, options: AccountOptions | None = None) -> None:
        self.options = options = options or AccountOptions()
        self.statistics = Statistics()
        self.faults = Faults(options.seed)
        contact_fields = make_contact_fields(options.contact_fields)
        deal_fields = make_deal_fields(options.deal_fields)
        self.metadata = build_metadata(
            contact_fields, deal_fields, options.stages, options.users, options.lists
        )
        slots = Slots(contact_fields, options.values_per_record)
        self._contacts = contacts = Contacts(options.seed, slots, options.tags, options.lists)
        self._records: dict[DatasetName, Contacts | Deals] = {
            "contacts": contacts,
            "deals": Deals(
                options.seed,
                Slots(deal_fields, options.values_per_record),
                self.metadata,
                contacts=3 * options.contacts + 1,
                camel_case=options.camel_case_values,
            ),
        }
        self._stores: dict[DatasetName, IdStore] = {
            "contacts": IdStore(options.seed, options.contacts, contacts.sort_key),
            "deals": IdStore(options.seed + 1, options.deals),
        }
        self._lock = threading.RLock()
        self._random = Random(options.seed)  # noqa: S311  # repeatable chance
        self._mask_overrides: dict[int, bool] = {}

    # What exists

    def ids(self, dataset: DatasetName) -> list[int]:
        """Return the ids that exist now, ascending."""
        with self._lock:
            return self._stores[dataset].ids.tolist()

    def ever(self, dataset: DatasetName) -> set[int]:
        """Return every id that exists or ever existed."""
        with self._lock:
            store = self._stores[dataset]
            return {*store.ids, *store.deleted}

    def masked_ids(self) -> list[int]:
        """Return the deals that are stubs now."""
        return [deal for deal in self.ids("deals") if self._is_masked(deal)]

    def mark(self) -> Mapping[DatasetName, int]:
        """Return the highest id each dataset has now, for `untouched_since`."""
        with self._lock:
            return {name: store.highest for name, store in self._stores.items()}

    def untouched_since(self, dataset: DatasetName, mark: Mapping[DatasetName, int]) -> set[int]:
        """Return the ids that existed at the mark and ever since; ids are never used again."""
        return {record for record in self.ids(dataset) if record <= mark[dataset]}

    # What changes

    def add(self, dataset: DatasetName, count: int = 1) -> list[int]:
        """Create records with the highest ids, and return their ids."""
        with self._lock:
            return self._stores[dataset].add(count)

    def change(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Change the records with these ids, or so many of them, and return the ids."""
        with self._lock:
            return self._stores[dataset].change(self._choose(dataset, which))

    def delete(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Delete the records with these ids, or so many of them, and return the ids."""
        with self._lock:
            return self._stores[dataset].delete(self._choose(dataset, which))

    def mask(self, deals: Iterable[int]) -> None:
        """Make stubs of these deals, as when the user loses the right to see their pipeline."""
        with self._lock:
            self._mask_overrides |= dict.fromkeys(deals, True)

    def unmask(self, deals: Iterable[int]) -> None:
        """Show these deals."""
        with self._lock:
            self._mask_overrides |= dict.fromkeys(deals, False)

    def _choose(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        if not isinstance(which, int):
            return list(which)
        ids = self._stores[dataset].ids
        places = self._random.sample(range(len(ids)), min(which, len(ids)))
        return [ids[place] for place in places]

    # What is served

    def page(
        self, dataset: DatasetName, call: Call, sideload: bool
    ) -> tuple[list[Record], dict[str, list[Record]], int]:
        """Return rows, the arrays beside them and the total, from one consistent state."""
        with self._lock:
            ids, total = self._stores[dataset].select(call)
            selected = [self._selected(dataset, record) for record in ids]
        rendered = [self._render(dataset, one, sideload) for one in selected]
        beside: dict[str, list[Record]] = {}
        if sideload:
            values = [value for _, values in rendered for value in values]
            beside[DATASETS[dataset].sideload] = values
        rows = [row for row, _ in rendered]
        if dataset == "contacts":
            beside |= self._relate(rows, selected, call)
        return rows, beside, total

    def _relate(
        self, rows: list[Record], selected: list[Selected], call: Call
    ) -> dict[str, list[Record]]:
        """Name the relations that are asked for in the rows, and return their arrays."""
        keys = [key for key in ("contactTags", "contactLists") if call.includes_any(key)]
        if self.options.relations == "ignored" or not keys:
            return {}
        related = [self._contacts.relations(one) for one in selected]
        for row, found in zip(rows, related, strict=True):
            row |= {key: [one["id"] for one in found[key]] for key in keys}
        beside = {key: [one for found in related for one in found[key]] for key in keys}
        if call.includes("contactTags.tag"):
            tags = {one["id"]: one for found in related for one in found["tags"]}
            beside["tags"] = list(tags.values())
        return beside

    def related(self, contact: int) -> dict[str, list[Record]]:
        """Return the rows of a contact's tags and list memberships, by their key."""
        with self._lock:
            return self._contacts.relations(self._selected("contacts", contact))

    def record(
        self, dataset: DatasetName, record: int, sideload: bool = True
    ) -> tuple[Record, list[Record]]:
        """Return one row and its values; raises KeyError where the id does not exist."""
        with self._lock:
            if record not in self._stores[dataset]:
                raise KeyError(record)
            selected = self._selected(dataset, record)
        return self._render(dataset, selected, sideload)

    def _render(
        self, dataset: DatasetName, selected: Selected, sideload: bool
    ) -> tuple[Record, list[Record]]:
        row, values = self._records[dataset].render(selected, sideload)
        key, options = DATASETS[dataset].sideload, self.options
        chance = draw(options.seed, ORPHAN_SALT, selected.id) % 100_000 / 100_000
        if sideload and chance < options.orphan_share:
            row[key] = [*row.get(key, []), str(FIRST_ORPHAN + selected.id)]
        if options.omits_empty_relations and not row.get(key):
            row.pop(key, None)
        return row, values

    def _selected(self, dataset: DatasetName, record: int) -> Selected:
        version = self._stores[dataset].versions.get(record, 0)
        return Selected(record, version, dataset == "deals" and self._is_masked(record))

    def _is_masked(self, deal: int) -> bool:
        chance = draw(self.options.seed, MASK_SALT, deal) % 100_000 / 100_000
        return self._mask_overrides.get(deal, chance < self.options.masked_share)
