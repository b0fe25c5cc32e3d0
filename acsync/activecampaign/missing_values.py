"""Tell custom field values that exist no more from values that were cut off a page."""

import threading
from collections.abc import Mapping

from acsync.activecampaign.client import Client
from acsync.activecampaign.responses import missing_values
from acsync.errors import AccountError
from acsync.models import Dataset

# Records asked for singly, a dataset and sync.
MAX_PROBES = 10


class MissingValues:
    """The values that records of one dataset name and that do not come; one a sync, thread-safe.

    A deleted field can leave the ids of its values on thousands of records: these are `orphans`,
    and nothing brings them. A record that is asked for alone shows which it is.
    """

    def __init__(self, client: Client, dataset: Dataset) -> None:
        self.orphans: set[str] = set()
        self._client = client
        self._dataset = dataset
        self._lock = threading.Lock()
        self._probes = 0
        self._was_cut = False

    def are_orphans(self, missing: Mapping[int, set[str]], *, alone: bool) -> bool:
        """Return whether values, missing from two answers by record id, exist no more.

        `alone` tells that the record was the only one on its page. Once the probes are used up,
        values are taken for orphans where no page of this sync was found cut off.
        """
        with self._lock:
            found = [self._comes_alone(record, missing[record]) for record in self._pick(missing)]
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

    def _comes_alone(self, record: int, names: set[str]) -> bool | None:
        """Return whether any of the values comes with the record alone; None where that is unknown.

        It is where the record is gone, or comes without any array of values.
        """
        include = {"include": self._dataset.sideload}
        try:
            page = self._client.get_page(f"{self._dataset.path}/{record}", include)
            still_missing = missing_values(self._dataset, page)
        except AccountError:
            return None
        return not names <= still_missing.get(record, set())
