"""The names that explain records, as the last full sync read them."""

from collections.abc import Iterable, Iterator, Sequence

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DIMENSIONS, DatasetName, ListingName, Record, pick
from acsync.enrich.encoding import Cleaner
from acsync.readings import Dimension
from acsync.store.dimensions import read_dimension
from acsync.sync.context import SyncContext
from acsync.sync.read import read_metadata

# The keys of a deal with the ids of rows in these listings.
DEAL_KEYS: dict[ListingName, str] = {"pipelines": "group", "stages": "stage", "users": "owner"}

NO_IDS = ("", "0", "None")


class KnownNames:
    """The listings that a dataset needs; one is read again if a record has an id it lacks.

    `unknown` are the ids that were looked up in vain, such as `users:901`. They are not looked up
    again until the next full sync.
    """

    def __init__(self, context: SyncContext, name: DatasetName, unknown: frozenset[str]) -> None:
        self.unknown = unknown
        self._context, self._name = context, name
        self._read_again: set[ListingName] = set()
        known = {
            need: read_dimension(context.database, need) for need in context.settings.needs(name)
        }
        self.metadata = {need: rows.rows for need, rows in known.items()}
        # Custom fields that were deleted lose their definition.
        self.vanished: dict[ListingName, Sequence[Record]] = {
            need: rows.vanished if need in DIMENSIONS else [] for need, rows in known.items()
        }

    def learn(self, pages: Iterable[WalkPage]) -> bool:
        """Read the listings again that lack an id of these pages; return whether any was read.

        If most of a listing is gone, its known rows stay: the key may have lost a permission, and
        the next full sync judges it.
        """
        used = {named for page in pages for named in self._named(page)}
        lacking = {named for named in used if self._is_new(*named)}
        needs = {need for need, _ in lacking}
        for need in needs:
            answer = read_metadata(self._context, need)
            if not _is_lost(self.metadata[need], answer.rows):
                self.metadata[need], self.vanished[need] = answer.rows, answer.vanished
                self._read_again.add(need)
        self.unknown |= {
            f"{need}:{row_id}" for need, row_id in lacking if self._is_new(need, row_id)
        }
        return bool(needs)

    def has_read(self, need: ListingName) -> bool:
        """Return whether a listing was read again."""
        return need in self._read_again

    def dimensions(self) -> Iterator[Dimension]:
        """Yield the listings that were read again."""
        for need in self._read_again:
            yield Dimension(need, Cleaner().clean([*self.metadata[need]]))

    def _is_new(self, need: ListingName, row_id: str) -> bool:
        if row_id in NO_IDS or f"{need}:{row_id}" in self.unknown or need not in self.metadata:
            return False
        rows = (*self.metadata[need], *self.vanished[need])
        return all(str(row.get("id")) != row_id for row in rows)

    def _named(self, page: WalkPage) -> Iterator[tuple[ListingName, str]]:
        """Yield each id of a listing that the records of a page have."""
        # This imports pandas, which the enricher of these pages needs anyway.
        from acsync.enrich.custom_fields import DEAL_FIELD_ID  # noqa: PLC0415

        if self._name == "contacts":
            yield from (("contact_fields", str(row.get("field"))) for row in page.values)
            memberships = page.related.get("contactLists", ())
            yield from (("lists", str(row.get("list"))) for row in memberships)
            return
        yield from (("deal_fields", str(pick(row, *DEAL_FIELD_ID))) for row in page.values)
        for need, key in DEAL_KEYS.items():
            yield from ((need, str(row.get(key))) for row in page.rows)


def _is_lost(known: Sequence[Record], answer: Sequence[Record]) -> bool:
    """Return whether an answer is empty, or lacks more known rows than it has."""
    listed = {str(row.get("id")) for row in answer}
    kept = sum(str(row.get("id")) in listed for row in known)
    return bool(known) and (not answer or len(known) - kept > kept)
