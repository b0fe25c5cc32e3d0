"""Find out why custom field values are missing: their field was deleted, or the page was cut."""

import threading
from collections.abc import Mapping, Sequence

from acsync.activecampaign.client import Client
from acsync.activecampaign.responses import find_missing_values, join_includes, sent_names
from acsync.errors import AccountError
from acsync.models import Dataset, RelationName

# Records asked for alone, a dataset and sync, while all of them say the same.
MAX_PROBES = 10


class MissingValues:
    """The missing values of one dataset in one sync; safe to share between threads.

    A deleted field can leave the ids of its values on thousands of records. These `orphans` never
    come. To know them from values that were cut off, some records are asked for alone.
    """

    def __init__(self, client: Client, dataset: Dataset) -> None:
        self.orphans: set[str] = set()
        self._client = client
        self._dataset = dataset
        self._lock = threading.Lock()
        self._probes = 0
        self._saw_cut = self._saw_orphans = False

    def are_orphans(
        self, missing: Mapping[int, set[str]], *, alone: bool, relations: Sequence[RelationName]
    ) -> bool:
        """Return whether the `missing` values, by record id, are orphans.

        They were missing from two answers. `alone` means that the page cannot be made smaller,
        `relations` are what was asked for beside the custom field values. After ten probes that all
        found orphans, or all found cut pages, the next is taken for the same without asking; but a
        page that is `alone` is never taken for cut without asking.
        """
        with self._lock:
            if self._is_settled and not (self._saw_cut and alone):
                is_cut = self._saw_cut
            else:
                found = self._probe(missing, relations)
                self._saw_cut |= True in found
                self._saw_orphans |= False in found
                is_cut = True in found or (False not in found and not alone)
            if not is_cut:
                self.orphans.update(*missing.values())
            return not is_cut

    @property
    def _is_settled(self) -> bool:
        return self._probes >= MAX_PROBES and not (self._saw_cut and self._saw_orphans)

    def _probe(
        self, missing: Mapping[int, set[str]], relations: Sequence[RelationName]
    ) -> set[bool | None]:
        """Ask for two records alone: values are cut off at the end, orphans are anywhere."""
        picked = {max(missing), min(missing)}
        self._probes += len(picked)
        return {self._comes_alone(record, missing[record], relations) for record in picked}

    def _comes_alone(
        self, record: int, names: set[str], relations: Sequence[RelationName]
    ) -> bool | None:
        """Return whether any of the values comes when the record is asked for alone.

        Return None where the record is gone, or comes without an array of values.
        """
        include = {"include": join_includes(self._dataset, relations)}
        try:
            page = self._client.get_page(f"{self._dataset.path}/{record}", include)
            find_missing_values(self._dataset, page, relations)
        except AccountError:
            return None
        # Not by what the answer names: it may leave out the names of orphans.
        return not names.isdisjoint(sent_names(self._dataset, page, relations))
