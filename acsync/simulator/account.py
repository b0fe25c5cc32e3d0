"""Hold an invented account: which records exist, what is known about calls, what breaks."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from acsync.models import DatasetName, Record
from acsync.simulator.arrangement import Arrangement, ByEmail, without_order
from acsync.simulator.breakage import Faults
from acsync.simulator.calls import Statistics
from acsync.simulator.chance import draw
from acsync.simulator.contacts import Contacts
from acsync.simulator.deals import Deals
from acsync.simulator.hooks import Hooks, Moment, Predicate
from acsync.simulator.metadata import build_metadata
from acsync.simulator.options import AccountOptions
from acsync.simulator.population import Population, Selected, Window
from acsync.simulator.truth import enrich_contact, enrich_deal

__all__ = ["Account", "AccountOptions", "Mark"]

DEFAULTS = AccountOptions()
MASK_SALT = 31


@dataclass(frozen=True)
class Mark:
    """A moment in the life of an account: the highest id each dataset had then."""

    highest: Mapping[DatasetName, int]


class Renderer(Protocol):
    """What makes rows from ids."""

    def render(self, selected: Selected, sideload: bool) -> tuple[Record, list[Record]]: ...


class Account:
    """An account that is served, and may be changed at any moment from any thread.

    `metadata.listings` are plain lists of rows; `faults`, `statistics` and `options` say how
    calls go. Nothing is stored for a record but its id, until it changes.
    """

    def __init__(self, options: AccountOptions = DEFAULTS) -> None:
        self.options = options
        self.metadata = build_metadata(options)
        self.statistics = Statistics()
        self.faults = Faults(options.seed)
        self.hooks = Hooks()
        self._lock = threading.RLock()
        self._random = Random(options.seed)  # noqa: S311  # repeatable chance
        self._mask_overrides: dict[int, bool] = {}
        self._populations: dict[DatasetName, Population] = {
            "contacts": Population(options.seed, options.contacts),
            "deals": Population(options.seed + 1, options.deals),
        }
        contacts = Contacts(options)
        self._renderers: dict[DatasetName, Renderer] = {
            "contacts": contacts,
            "deals": Deals(options, self.metadata),
        }
        self._arrangements: dict[DatasetName, Arrangement] = {
            "contacts": ByEmail(contacts.email),
            "deals": without_order,
        }

    # What exists

    def ids(self, dataset: DatasetName) -> list[int]:
        """Give the ids that exist now, ascending."""
        with self._lock:
            return self._populations[dataset].ids.tolist()

    def ever(self, dataset: DatasetName) -> set[int]:
        """Give every id that exists or ever existed."""
        with self._lock:
            population = self._populations[dataset]
            return {*population.ids, *population.deleted}

    def masked_ids(self) -> list[int]:
        """Give the deals that are stubs now."""
        return [deal for deal in self.ids("deals") if self._is_masked(deal)]

    def mark(self) -> Mark:
        """Remember this moment for `untouched_since`."""
        with self._lock:
            return Mark({name: one.highest for name, one in self._populations.items()})

    def untouched_since(self, dataset: DatasetName, mark: Mark) -> set[int]:
        """Give the ids that existed at the mark and ever since; ids are never used again."""
        return {record for record in self.ids(dataset) if record <= mark.highest[dataset]}

    # What changes

    def add(self, dataset: DatasetName, count: int = 1) -> list[int]:
        """Create records with the highest ids; gives their ids."""
        with self._lock:
            return self._populations[dataset].add(count)

    def change(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Change the records with these ids, or so many of them; gives the ids."""
        with self._lock:
            return self._populations[dataset].change(self._choose(dataset, which))

    def delete(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        """Delete the records with these ids, or so many of them; gives the ids."""
        with self._lock:
            return self._populations[dataset].delete(self._choose(dataset, which))

    def mask(self, deals: Iterable[int]) -> None:
        """Make stubs of these deals, as when the user loses the right to see their pipeline."""
        with self._lock:
            self._mask_overrides |= dict.fromkeys(deals, True)

    def unmask(self, deals: Iterable[int]) -> None:
        """Show these deals."""
        with self._lock:
            self._mask_overrides |= dict.fromkeys(deals, False)

    def on_call(
        self,
        when: Predicate,
        action: Callable[[], object],
        *,
        moment: Moment = "after",
        times: int | None = 1,
    ) -> None:
        """Run `action` at calls that `when` accepts.

        `after` means once the page is cut out of the account but not yet sent: the caller gets
        the old page, and its next call sees what the action did.
        """
        self.hooks.add(when, action, moment, times)

    def _choose(self, dataset: DatasetName, which: int | Iterable[int]) -> list[int]:
        if not isinstance(which, int):
            return list(which)
        ids = self._populations[dataset].ids
        places = self._random.sample(range(len(ids)), min(which, len(ids)))
        return [ids[place] for place in places]

    # What is served

    def select(
        self, dataset: DatasetName, window: Window, number: int
    ) -> tuple[list[Selected], int]:
        """Give a page and the total from one consistent state; `number` is the call's."""
        with self._lock:
            population = self._populations[dataset]
            if window.order == "default":
                ids = self._arrangements[dataset](population, window, number)
            else:
                ids = population.select(window)
            first, end = population.bounds(window)
            return [self._selected(dataset, one) for one in ids], end - first

    def find(self, dataset: DatasetName, record: int) -> Selected | None:
        """Give one record, or None where the id does not exist."""
        with self._lock:
            exists = record in self._populations[dataset]
            return self._selected(dataset, record) if exists else None

    def render(
        self, dataset: DatasetName, selected: Selected, sideload: bool
    ) -> tuple[Record, list[Record]]:
        """Give a row as served and its sideloaded values."""
        return self._renderers[dataset].render(selected, sideload)

    def expected(self, dataset: DatasetName, record: int) -> Record:
        """Give the enriched record that a sync must have stored, had it run just now.

        Raises KeyError where the id does not exist. A masked deal is given as never seen before.
        """
        selected = self.find(dataset, record)
        if selected is None:
            raise KeyError(record)
        row, values = self.render(dataset, selected, sideload=True)
        enrich = enrich_contact if dataset == "contacts" else enrich_deal
        return enrich(row, values, self.metadata.listings)

    def _selected(self, dataset: DatasetName, record: int) -> Selected:
        version = self._populations[dataset].versions.get(record, 0)
        return Selected(record, version, dataset == "deals" and self._is_masked(record))

    def _is_masked(self, deal: int) -> bool:
        by_chance = draw(self.options.seed, MASK_SALT, deal) % 100_000
        masked = by_chance < 100_000 * self.options.masked_share
        return self._mask_overrides.get(deal, masked)
