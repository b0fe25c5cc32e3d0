"""Hold an invented account: its records, the peculiarities of its API, and its faults."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.activities import Activities, Activity
from acsync.simulator.fault_injection import Faults
from acsync.simulator.id_store import IdStore, Part, Selected
from acsync.simulator.metadata import build_metadata
from acsync.simulator.records import Contacts, Deals, count_emails
from acsync.simulator.requests import Call, Statistics
from acsync.simulator.values import Slots, draw, make_fields, with_host

MASK_SALT, ORPHAN_SALT = 31, 32

# Ids of values whose field was deleted start here.
FIRST_ORPHAN = 900_000_000


class Account:
    """An account that can be served and changed at the same time, from any thread.

    `metadata.listings` are plain lists of rows. Of a record, only its id is stored until it
    changes. `link_host` is the host in the links of records, if they are to name another one.
    `clock_offset` is by how many seconds its clock is ahead of this machine's.
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
        self._deals = deals
        self._stores: dict[DatasetName, IdStore] = {
            "contacts": IdStore(
                seed, options.contacts, self._contacts.first_updated, self._contacts.sort_key
            ),
            "deals": IdStore(seed + 1, options.deals, deals.first_updated),
        }
        self.clock_offset = options.clock_offset_seconds
        self._first_deals = self._stores["deals"].ids[:]
        self._activities: Activities | None = None
        self._journal: list[Callable[[Activities], object]] = []
        self._lock = threading.RLock()
        self._random = Random(options.seed)  # noqa: S311  # repeatable
        self._masked: set[int] = set()
        self._emails: Counter[int] = Counter()
        self.link_host: str | None = None

    def now(self) -> float:
        """Return the time of the account's clock, in seconds since 1970."""
        return time.time() + self.clock_offset

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
            added = self._stores[dataset].add(count, self.now())
            if dataset == "deals":
                at = self.now()
                self._journal += [partial(Activities.add, deal=deal, at=at) for deal in added]
            return added

    def change(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Change the records with these ids, or a number of any records, and return their ids."""
        with self._lock:
            store = self._stores[dataset]
            changed = store.change(self._choose(dataset, which), self.now())
            if dataset == "deals":
                at = self.now()
                self._journal += [
                    partial(Activities.change, deal=deal, version=store.versions[deal], at=at)
                    for deal in changed
                ]
            return changed

    def change_part(
        self, dataset: DatasetName, part: Part, which: int | Iterable[int]
    ) -> list[int]:
        """Change only one part of these records, and return the ids of those that could."""
        with self._lock:
            store = self._stores[dataset]
            chosen = self._choose(dataset, which)
            changed = [each for each in chosen if self._advance(store, dataset, part, each)]
            if part not in self.options.undated:
                store.date(changed, self.now())
            return changed

    def _advance(self, store: IdStore, dataset: DatasetName, part: Part, record_id: int) -> bool:
        """Count up a part until the record looks different."""
        before = self._look(dataset, record_id)
        for _ in range(100):
            store.parts[record_id, part] += 1
            if self._look(dataset, record_id) != before:
                return True
        return False

    def _look(self, dataset: DatasetName, record_id: int) -> Any:
        _, values = self.record(dataset, record_id)
        related = self.related(record_id) if dataset == "contacts" else {}
        return [{**row, "links": None} for rows in (values, *related.values()) for row in rows]

    def delete(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Delete the records with these ids, or a number of any records, and return their ids."""
        with self._lock:
            deleted = self._stores[dataset].delete(self._choose(dataset, which))
            if dataset == "deals":
                self._journal += [partial(Activities.delete, deal=deal) for deal in deleted]
            return deleted

    def restore_contacts(self, contacts: Iterable[int]) -> None:
        """Bring deleted contacts back with their old ids, as ActiveCampaign can for 30 days."""
        with self._lock:
            self._stores["contacts"].restore(contacts)

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
        if not keys:
            return {}
        related = [self._contacts.relations(contact) for contact in selected]
        for row, relations in zip(rows, related, strict=True):
            row |= {key: [relation["id"] for relation in relations[key]] for key in keys}
        sideloads = {key: [row for relations in related for row in relations[key]] for key in keys}
        if call.includes("contactTags.tag"):
            tags = {tag["id"]: tag for relations in related for tag in relations["tags"]}
            sideloads["tags"] = list(tags.values())
        return sideloads

    def activities(self) -> list[Activity]:
        """Return all activities of deals, in the order of their ids."""
        with self._lock:
            return [*self._activities_now().rows]

    def activity_page(self, call: Call) -> tuple[list[Record], int]:
        """Return the requested activities of deals, and their total."""
        with self._lock:
            return self._activities_now().page(call, self.options.activity_order)

    def _activities_now(self) -> Activities:
        """Return the activities, which are made when they are first requested."""
        if self._activities is None:
            self._activities = Activities(self.options.seed, self._deals, self._first_deals)
        for act in self._journal:
            act(self._activities)
        self._journal.clear()
        return self._activities

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
        if dataset == "contacts" and (emails := self._emails[selected.id]):
            row |= count_emails(row, emails)
        if self.link_host and "links" in row:
            row["links"] = with_host(row["links"], self.link_host)
        if sideload and self._chance(ORPHAN_SALT, selected.id) < self.options.orphan_share:
            key = DATASETS[dataset].sideload
            row[key] = [*row.get(key, []), str(FIRST_ORPHAN + selected.id)]
        return row, values

    def _selected(self, dataset: DatasetName, record_id: int) -> Selected:
        is_masked = dataset == "deals" and self._is_masked(record_id)
        return self._stores[dataset].selected(record_id, is_masked)

    def _is_masked(self, deal: int) -> bool:
        return deal in self._masked or self._chance(MASK_SALT, deal) < self.options.masked_share

    def _chance(self, salt: int, record_id: int) -> float:
        """Return a number from 0 to 1 that is always the same for a record."""
        return draw(self.options.seed, salt, record_id) % 100_000 / 100_000
