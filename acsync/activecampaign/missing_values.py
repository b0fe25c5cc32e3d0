"""Find out why custom field values are missing: their field was deleted, or the page was cut."""

import threading
from collections.abc import Mapping, Sequence

from acsync.activecampaign.client import Client
from acsync.activecampaign.responses import find_missing_values, join_includes
from acsync.errors import AccountError
from acsync.models import Dataset, RelationName

# Records asked for singly, a dataset and sync.
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
        self._was_cut = False

    def are_orphans(
        self, missing: Mapping[int, set[str]], *, alone: bool, relations: Sequence[RelationName]
    ) -> bool:
        """Return whether the `missing` values, by record id, are orphans.

        They were missing from two answers. `alone` means that the page cannot be made smaller,
        `relations` are what was asked for beside the custom field values. Once the probes are used
        up, missing values are orphans unless a page of this sync was cut.
        """
        with self._lock:
            found = [
                self._comes_alone(record, missing[record], relations)
                for record in self._pick(missing)
            ]
            self._was_cut |= True in found
            is_unknown = bool(found) and set(found) == {None} and not alone
            if self._was_cut or is_unknown:
                return False
            self.orphans.update(*missing.values())
            return True

    def _pick(self, missing: Mapping[int, set[str]]) -> list[int]:
        """Return the records to ask for: values are cut off at the end, orphans are anywhere."""
        if self._was_cut:
            return []
        picked = list(dict.fromkeys([max(missing), min(missing)]))[: MAX_PROBES - self._probes]
        self._probes += len(picked)
        return picked

    def _comes_alone(
        self, record: int, names: set[str], relations: Sequence[RelationName]
    ) -> bool | None:
        """Return whether any of the values comes when the record is asked for alone.

        Return None where the record is gone, or comes without an array of values.
        """
        include = {"include": join_includes(self._dataset, relations)}
        try:
            page = self._client.get_page(f"{self._dataset.path}/{record}", include)
            still_missing = find_missing_values(self._dataset, page, relations)
        except AccountError:
            return None
        return not names <= still_missing.get(record, set())
