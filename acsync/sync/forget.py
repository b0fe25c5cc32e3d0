"""Forget a person: erase the contacts, redact their deals, and leave them out of later syncs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName
from acsync.enrich.encoding import encode
from acsync.enrich.redaction import REDACTED, redact
from acsync.errors import AcsyncError
from acsync.forgotten import Forgotten, Mark
from acsync.results import Sync
from acsync.store.database import Database, Transaction
from acsync.store.erasure import (
    CONTACT_ROWS,
    DEAL_ROWS,
    count_rows,
    delete_contacts,
    find_by_address,
    find_sharers,
    has_rows,
    read_deals,
    read_unredacted,
    read_vanished_contacts,
    rewrite_deals,
)
from acsync.store.forgotten import (
    note_listed,
    read_forgotten,
    read_left_out,
    readmit,
    remember,
)
from acsync.store.lease import take_from_frozen_sync
from acsync.store.privacy import read_privacy
from acsync.store.staging_tables import drop_everything

HIDDEN_ADDRESS = ("exclude contacts.email", "hash contacts.email")


@dataclass(frozen=True)
class Person:
    """A contact, or all contacts that have or had an address."""

    contact_id: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class Erasure:
    """The contacts of a person, and how many rows of each table are deleted or redacted.

    `sharers` are other contacts with the same address, which stay.
    """

    contacts: Sequence[int]
    deleted: Mapping[str, int]
    redacted: Mapping[str, int]
    sharers: Sequence[int] = ()


def plan_erasure(database: Database, person: Person) -> Erasure:
    """Return what forgetting a person would delete and redact."""
    with database.begin() as connection:
        return _plan(connection, person)


def _plan(connection: Transaction, person: Person) -> Erasure:
    if person.contact_id is not None:
        ids = [person.contact_id]
    elif {*HIDDEN_ADDRESS} & {*read_privacy(connection, "contacts").rules}:
        raise AcsyncError(
            "The copy has no addresses, because a privacy rule hides contacts.email.",
            "Forget the contact by its id.",
        )
    else:
        ids = find_by_address(connection, person.address or "")
    return Erasure(
        ids,
        count_rows(connection, CONTACT_ROWS, ids),
        count_rows(connection, DEAL_ROWS, ids),
        find_sharers(connection, ids),
    )


def forget(database: Database, person: Person) -> Erasure:
    """Erase a person in one transaction; return what was deleted and redacted.

    Raises LeaseHeld while a sync is running. A sync that read the person and froze before it
    published loses its lease.
    """
    with database.begin() as connection:
        take_from_frozen_sync(connection)
        erasure = _plan(connection, person)
        drop_everything(connection)
        remember(connection, erasure.contacts, person.address)
        _erase(connection, erasure.contacts)
    return erasure


def undo(database: Database, person: Person) -> bool:
    """Let the next full sync copy a person again; return whether the person was kept out.

    Raises LeaseHeld while a sync is running, because it would note the hash again.
    """
    ids = [] if person.contact_id is None else [person.contact_id]
    with database.begin() as connection:
        take_from_frozen_sync(connection)
        # A sync that resumes staged slices would not read the person.
        drop_everything(connection)
        return readmit(connection, ids, person.address) > 0


def _erase(connection: Transaction, ids: Sequence[int], stubs_of: Sequence[int] = ()) -> None:
    delete_contacts(connection, ids)
    deals = read_deals(connection, ids, stubs_of)
    rewrite_deals(connection, [(deal, encode(redact(deal.record))) for deal in deals])


def leave_out(
    database: Database, sync: Sync, forgotten: Forgotten, name: DatasetName, page: WalkPage
) -> frozenset[int]:
    """Return the contacts of a page that are forgotten, and record that the account has them.

    Deals stay, but those of a forgotten contact show that it is still known to the account.
    """
    if name == "deals":
        hashes = (forgotten.find("contact", row.get("contact")) for row in page.rows)
        note_listed(database, sync, {digest: "contact" for digest in hashes if digest})
        return frozenset()
    left_out = find_left_out(forgotten, page)
    for marks in left_out.values():
        note_listed(database, sync, marks)
    return frozenset(left_out)


def find_left_out(forgotten: Forgotten, page: WalkPage) -> dict[int, dict[bytes, Mark]]:
    """Return the forgotten contacts of a page, with the hashes of their ids and addresses."""
    if not forgotten:
        return {}
    left_out: dict[int, dict[bytes, Mark]] = {}
    for record_id, row in zip(page.ids, page.rows, strict=True):
        by_address = forgotten.find("address", row.get("email"))
        if by_address or forgotten.find("contact", record_id):
            # Deals name only the id.
            left_out[record_id] = {forgotten.hash("contact", record_id): "contact"}
            left_out[record_id] |= {by_address: "address"} if by_address else {}
    return left_out


def erase_left_out(connection: Transaction, sync: Sync) -> None:
    """Erase what was published before a sync learned that its person is forgotten.

    A contact can get a forgotten address, and its deals can be read before it is. If the sync that
    learned it published nothing, the contact can be deleted before the next one.
    """
    forgotten = read_forgotten(connection)
    if not forgotten:
        return
    unredacted = read_unredacted(connection, sync, REDACTED)
    gone = [*read_vanished_contacts(connection, sync), *(contact for _, contact in unredacted)]
    ids = {contact for contact in gone if contact and forgotten.find("contact", contact)}
    ids |= read_left_out(connection, sync).keys()
    stubs_of = [deal for deal, contact in unredacted if contact is None]
    if stubs_of or has_rows(connection, ids):
        _erase(connection, sorted(ids), stubs_of)
