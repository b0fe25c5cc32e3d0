"""Read single records from the account, as a full sync would store them."""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from acsync.activecampaign.client import Client
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.page_reader import PageReader
from acsync.activecampaign.sideloads import OptionalRelations
from acsync.activecampaign.walk import Walk, WalkPage
from acsync.datasets import (
    DATASETS,
    DIMENSIONS,
    FIELDS,
    DatasetName,
    Record,
    is_masked,
    parse_record,
)
from acsync.enrich.differences import Name, find_differences, find_relations
from acsync.enrich.encoding import Cleaner, encode, keep_last_body
from acsync.enrich.redaction import redact_forgotten
from acsync.enrich.relations import tag_names
from acsync.forgotten import Forgotten
from acsync.readings import ListingRows
from acsync.settings import Settings
from acsync.store.database import Database
from acsync.store.dimensions import read_dimension
from acsync.store.forgotten import read_forgotten
from acsync.store.privacy import require_rules
from acsync.store.sync_status import read_running
from acsync.store.verification import read_known_fields
from acsync.sync.context import open_client
from acsync.sync.hidden_records import as_listed
from acsync.sync.privacy import open_privacy
from acsync.sync.read import read_with_known

if TYPE_CHECKING:
    from acsync.enrich.enricher import Enricher

# The share of the account's calls to make while a sync is running: 2 of 10 per second.
GENTLE_SHARE = 0.2

# A key that this share of the published records has belongs to every record.
COMMON_SHARE = 0.9

# The dates that the account itself moves, of a record and of its values.
DATES = ("udate", "mdate", "cdate")


@dataclass(frozen=True)
class Names:
    """The names that explain a dataset's records, as the account has them now.

    `renamed` are the rows that the last sync knew by another name. `tags` are the tags that the
    last sync knew, by id. `forgotten` are the people whom no sync copies.
    """

    enricher: "Enricher"
    renamed: frozenset[Name]
    tags: Mapping[str, str]
    forgotten: Forgotten


class AccountReader:
    """Reads single records of one account; safe to share between threads.

    While a sync is running it makes a fifth of the calls that the account allows.
    """

    def __init__(self, settings: Settings, database: Database, client: Client) -> None:
        self.database, self.client = database, client
        self._settings = settings
        self._optional = {name: OptionalRelations() for name in DATASETS}
        self._gate = threading.Lock()
        self._look_at = 0.0
        self._is_syncing = False

    def read_newest(self, name: DatasetName) -> WalkPage:
        """Return the newest page; relations that the account refuses are then left out."""
        return self._walk(name).read_newest()

    def read(self, name: DatasetName, record_id: int) -> WalkPage | None:
        """Return one record as a page, or None if the account has no such record."""
        self._wait_for_syncs()
        return self._walk(name).read_single(record_id)

    def _walk(self, name: DatasetName) -> Walk:
        dataset, relations = DATASETS[name], self._settings.relations(name)
        missing, optional = MissingValues(dataset), self._optional[name]
        page_size = self._settings.page_size
        return Walk(PageReader(self.client, page_size, missing, relations, optional))

    def _wait_for_syncs(self) -> None:
        """Wait between two calls while a sync is running, which is asked once per second."""
        with self._gate:
            if time.monotonic() >= self._look_at:
                self._is_syncing = read_running(self.database) is not None
                self._look_at = time.monotonic() + 1
            if self._is_syncing:
                time.sleep(1 / (self._settings.rate_limit * GENTLE_SHARE))

    def read_names(self, name: DatasetName) -> Names:
        """Read the metadata of a dataset, by the rules of a sync, and compare it with the copy's.

        Call it after the published records were read.
        """
        # Importing pandas takes a second.
        from acsync.enrich.enricher import Enricher  # noqa: PLC0415

        database = self.database
        listings = {
            need: read_with_known(self.client, database, need)
            for need in self._settings.needs(name)
        }
        known = {need: rows.all_rows for need, rows in listings.items()}
        rules = open_privacy(database, self._settings, name, known).rules
        enricher = Enricher(name, known, rules)
        fields = read_known_fields(database, name)
        renamed: set[Name] = {
            (FIELDS[name], field.field_id)
            for field in enricher.fields
            if fields.get(field.field_id) != (field.key, field.title, field.type)
        }
        for need, rows in listings.items():
            if need in DIMENSIONS:
                before = read_dimension(database, need)
                renamed |= {(need, row_id) for row_id in _changed(rows, before)}
        tags = tag_names(read_dimension(database, "tags").all_rows) if name == "contacts" else {}
        with database.begin() as connection:
            forgotten = read_forgotten(connection)
        return Names(enricher, frozenset(renamed), tags, forgotten)


def _changed(rows: ListingRows, before: ListingRows) -> Iterator[str]:
    """Yield the ids of rows that the last sync did not know, or knew with other names."""
    known = {str(row["id"]): row for row in before.all_rows}
    for row in Cleaner().clean(rows.all_rows):
        if known.get(str(row["id"])) != row:
            yield str(row["id"])


@contextmanager
def open_reader(settings: Settings, database: Database) -> Iterator[AccountReader]:
    """Open the account for single reads, with the pace that the last sync has learned.

    Raises PrivacyDiffers if what it reads could not be compared with the copy.
    """
    require_rules(database, settings)
    with closing(open_client(settings, database)) as client:
        yield AccountReader(settings, database, client)


def find_common_keys(records: Iterable[Record]) -> frozenset[str]:
    """Return the keys that nearly all of these published records have."""
    whole = [record for record in records if not is_masked(record)]
    counts = Counter(key for record in whole for key in record)
    return frozenset(key for key, count in counts.items() if count >= COMMON_SHARE * len(whole))


def enrich_single(
    page: WalkPage,
    names: Names,
    published: Record | None = None,
    listed: Collection[str] = (),
) -> Record:
    """Return a record that was read singly as a full sync would publish it.

    The keys that only pages have are taken from the published record, as are tags and lists if
    the account does not send them. `listed` are keys that every record has on a page.
    """
    (row,) = page.rows
    rows = [row if published is None else as_listed(row, published, listed)]
    (record,) = names.enricher.enrich(rows, page.values, page.related)
    record = redact_forgotten(record, row, names.forgotten)
    last = published or {}
    record |= {
        name: last[name]
        for name in ("tags", "lists")
        if name not in page.relations and last.get(name) is not None
    }
    stored = keep_last_body(record, published) if is_masked(record) else record
    return parse_record(encode(stored).body)


def find_renamed(page: WalkPage, names: Names) -> frozenset[Name]:
    """Return the renamed rows of the metadata, and both names of the record's renamed tags."""
    now = tag_names((page.related or {}).get("tags", ()))
    changed = {tag_id for tag_id, tag in now.items() if names.tags.get(tag_id) != tag}
    both = [(now[tag_id], names.tags.get(tag_id)) for tag_id in changed]
    return names.renamed | {("tags", tag) for pair in both for tag in pair if tag is not None}


def read_relations(page: WalkPage, names: Names) -> Record:
    """Return the tags and memberships of a contact as the long views show them."""
    relations = names.enricher.relations(page.related or {})
    cleaned: Record = Cleaner().clean(relations.get(str(page.ids[0]), {}))
    return cleaned


def compare_single(
    name: DatasetName,
    page: WalkPage,
    names: Names,
    record: Record,
    published: Record,
    relations: Record | None,
) -> set[str]:
    """Return the fields in which a record that was read singly differs from its published form.

    `relations` are the published ones, or None if the record has none.
    """
    renamed = find_renamed(page, names)
    fields = {*find_differences(name, record, published, renamed)}
    if relations is not None:
        now = read_relations(page, names)
        fields |= {*find_relations(now, relations, page.relations, renamed)}
    return fields


def newest_date(page: WalkPage) -> datetime | None:
    """Return the newest date with an offset of a record, its values, tags and lists."""
    rows = [*page.rows, *page.values]
    for key, related in page.related.items():
        rows += related if key != "tags" else ()  # which are not the record's
    dates = [date for row in rows for key in DATES if (date := read_date(row.get(key)))]
    return max(dates, default=None)


def read_date(value: object) -> datetime | None:
    """Return a time with an offset, or None if the value is no such time."""
    try:
        date = datetime.fromisoformat(str(value))
        return date.astimezone(UTC) if date.tzinfo else None
    except (ValueError, OverflowError):
        return None
