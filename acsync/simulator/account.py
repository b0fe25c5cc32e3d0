"""Hold an invented account: its records, the peculiarities of its API, and its faults."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.simulator.fault_injection import Faults
from acsync.simulator.id_store import IdStore, Selected
from acsync.simulator.metadata import build_metadata
from acsync.simulator.records import Contacts, Deals, count_emails
from acsync.simulator.requests import Call, RateWindow, Statistics
from acsync.simulator.values import Slots, draw, make_fields, with_host

MASK_SALT, ORPHAN_SALT = 31, 32

# Ids of values whose field was deleted start here.
FIRST_ORPHAN = 900_000_000


@dataclass(frozen=True)
class AccountOptions:
    """Counts of records, fields, stages and users, and how the API treats its callers.

    `rate_limit` is the number of calls per second (None: no limit). `rate_window` counts them in
    any sliding second or in each second of the clock. A 429 asks callers to wait for
    `retry_after_seconds`. Calls arrive up to `arrival_jitter_seconds` late. `camel_case_values`
    serves custom field values of deals in the API's other spelling. Without `has_crm`, deals are
    refused, and without `is_admin` the settings. `masked_share` is the share of deals that are
    stubs. `relations` decides if tags and lists can be included. `orphan_share` is the share of
    records that name a value of a deleted field. With `omits_empty_relations`, records without
    values have no key for them.
    """

    contacts: int = 2500
    deals: int = 1200
    seed: int = 1
    api_key: str = field(default="simulated-key", repr=False)
    contact_fields: int = 8
    deal_fields: int = 8
    stages: int = 12
    users: int = 6
    tags: int = 12
    lists: int = 4
    values_per_record: int = 8
    rate_limit: float | None = 10
    rate_window: RateWindow = "sliding"
    arrival_jitter_seconds: float = 0.0
    retry_after_seconds: int | None = 1
    latency_seconds: float = 0.0
    page_cap: int = 100
    camel_case_values: bool = False
    has_crm: bool = True
    is_admin: bool = True
    masked_share: float = 0.005
    relations: Literal["served", "ignored", "refused", "forbidden"] = "served"
    orphan_share: float = 0.0
    omits_empty_relations: bool = False


class Account:
    """An account that can be served and changed at the same time, from any thread.

    `metadata.listings` are plain lists of rows. Of a record, only its id is stored until it
    changes. `link_host` is the host in the links of records, if they are to name another one.
    """

    def __init__(self, options: AccountOptions | None = None) -> None:
        self.options = options = options or AccountOptions()
        self.statistics = Statistics()
        self.faults = Faults(options.seed)
        seed, most_values = options.seed, options.values_per_record
        contact_fields = make_fields("contacts", options.contact_fields)
        deal_fields = make_fields("deals", options.deal_fields)
        self.metadata = build_metadata(
            contact_fields, deal_fields, options.stages, options.users, options.lists
        )
        self._contacts = Contacts(
            seed, Slots(contact_fields, most_values), options.tags, options.lists
        )
        deals = Deals(
            seed, Slots(deal_fields, most_values), self.metadata,
            contacts=3 * options.contacts + 1, camel_case=options.camel_case_values,
        )  # fmt: skip
        self._records: dict[DatasetName, Contacts | Deals]
        self._records = {"contacts": self._contacts, "deals": deals}
        self._stores: dict[DatasetName, IdStore] = {
            "contacts": IdStore(seed, options.contacts, self._contacts.sort_key),
            "deals": IdStore(seed + 1, options.deals),
        }
        self._lock = threading.RLock()
        self._random = Random(options.seed)  # noqa: S311  # repeatable
        self._masked: set[int] = set()
        self._emails: Counter[int] = Counter()
        self.link_host: str | None = None

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
        """Return the highest id of each dataset, for `untouched_since`."""
        with self._lock:
            return {name: store.highest for name, store in self._stores.items()}

    def untouched_since(self, dataset: DatasetName, mark: Mapping[DatasetName, int]) -> set[int]:
        """Return the ids that existed at the mark and still do; no id is used twice."""
        return {record_id for record_id in self.ids(dataset) if record_id <= mark[dataset]}

    def add(self, dataset: DatasetName, count: int = 1) -> list[int]:
        """Create records with the highest ids, and return their ids."""
        with self._lock:
            return self._stores[dataset].add(count)

    def change(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Change the records with these ids, or a number of any records, and return their ids."""
        with self._lock:
            return self._stores[dataset].change(self._choose(dataset, which))

    def delete(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Delete the records with these ids, or a number of any records, and return their ids."""
        with self._lock:
            return self._stores[dataset].delete(self._choose(dataset, which))

    def mask(self, deals: Iterable[int]) -> None:
        """Make stubs of these deals, as if the user had lost the right to see their pipeline."""
        with self._lock:
            self._masked.update(deals)

    def send_newsletter(self, contacts: Iterable[int]) -> None:
        """Count an email to these contacts, half of whom open it, without changing them."""
        with self._lock:
            self._emails.update(contacts)

    def _choose(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        if not isinstance(which, int):
            return list(which)
        ids = self._stores[dataset].ids
        return self._random.sample(ids, min(which, len(ids)))

    def page(
        self, dataset: DatasetName, call: Call, sideload: bool
    ) -> tuple[list[Record], dict[str, list[Record]], int]:
        """Return the rows, the sideloaded arrays and the total, from one consistent state."""
        with self._lock:
            ids, total = self._stores[dataset].select(call)
            selected = [self._selected(dataset, record_id) for record_id in ids]
        rendered = [self._render(dataset, record, sideload) for record in selected]
        rows = [row for row, _ in rendered]
        values = [value for _, values in rendered for value in values]
        sideloads = {DATASETS[dataset].sideload: values} if sideload else {}
        if dataset == "contacts":
            sideloads |= self._relate(rows, selected, call)
        return rows, sideloads, total

    def _relate(
        self, rows: list[Record], selected: list[Selected], call: Call
    ) -> dict[str, list[Record]]:
        """Name the included relations in the rows, and return their arrays."""
        keys = [key for key in ("contactTags", "contactLists") if call.includes_any(key)]
        if self.options.relations == "ignored" or not keys:
            return {}
        related = [self._contacts.relations(contact) for contact in selected]
        for row, relations in zip(rows, related, strict=True):
            row |= {key: [relation["id"] for relation in relations[key]] for key in keys}
        sideloads = {key: [row for relations in related for row in relations[key]] for key in keys}
        if call.includes("contactTags.tag"):
            tags = {tag["id"]: tag for relations in related for tag in relations["tags"]}
            sideloads["tags"] = list(tags.values())
        return sideloads

    def related(self, contact: int) -> dict[str, list[Record]]:
        """Return the rows of a contact's tags and list memberships, by their key."""
        with self._lock:
            return self._contacts.relations(self._selected("contacts", contact))

    def record(
        self, dataset: DatasetName, record_id: int, sideload: bool = True
    ) -> tuple[Record, list[Record]]:
        """Return one row and its values; raises KeyError if the id does not exist."""
        with self._lock:
            if record_id not in self._stores[dataset]:
                raise KeyError(record_id)
            selected = self._selected(dataset, record_id)
        return self._render(dataset, selected, sideload)

    def _render(
        self, dataset: DatasetName, selected: Selected, sideload: bool
    ) -> tuple[Record, list[Record]]:
        row, values = self._records[dataset].render(selected, sideload)
        key, options = DATASETS[dataset].sideload, self.options
        if dataset == "contacts" and (emails := self._emails[selected.id]):
            row |= count_emails(row, emails)
        if self.link_host and "links" in row:
            row["links"] = with_host(row["links"], self.link_host)
        if sideload and self._chance(ORPHAN_SALT, selected.id) < options.orphan_share:
            row[key] = [*row.get(key, []), str(FIRST_ORPHAN + selected.id)]
        if options.omits_empty_relations and not row.get(key):
            row.pop(key, None)
        return row, values

    def _selected(self, dataset: DatasetName, record_id: int) -> Selected:
        version = self._stores[dataset].versions[record_id]
        return Selected(record_id, version, dataset == "deals" and self._is_masked(record_id))

    def _is_masked(self, deal: int) -> bool:
        return deal in self._masked or self._chance(MASK_SALT, deal) < self.options.masked_share

    def _chance(self, salt: int, record_id: int) -> float:
        """Return a number from 0 to 1 that is always the same for a record."""
        return draw(self.options.seed, salt, record_id) % 100_000 / 100_000
