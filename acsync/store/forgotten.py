"""Keep the hashes of forgotten people, and find the contacts that they keep out."""

import secrets
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from acsync.forgotten import Forgotten, Mark
from acsync.results import Sync
from acsync.store.database import Database, run
from acsync.store.lease import holding_lease
from acsync.store.staging import STAGED

# ActiveCampaign can restore a deleted contact for 30 days, with its old id.
KEPT = "interval '31 days'"

# Several threads note the same hash, so it is written once per hour.
NOTE_LISTED = """
    insert into {schema}.ac_forgotten as known (hash, mark) values (:hash, :mark)
    on conflict (hash) do update set last_listed_at = now()
    where known.last_listed_at < now() - interval '1 hour'
"""

# The ids are staged without bodies, so that the proof of completeness counts them.
READ_CONTACTS = f"""
    {STAGED}
    select staged.record_id, version.record_id is not null as is_published
    from staged left join {{versions}} as version
        on version.record_id = staged.record_id and version.valid_to is null
"""


def read_forgotten(connection: Connection) -> Forgotten:
    """Return the hashes of forgotten people and their key, which may be empty."""
    key = run(connection, "select key from {schema}.ac_forgotten_key").scalar_one_or_none()
    hashes = run(connection, "select hash from {schema}.ac_forgotten").scalars()
    return Forgotten(bytes(key or b""), frozenset(map(bytes, hashes)))


def remember(connection: Connection, ids: Iterable[int], address: str | None) -> None:
    """Keep these contacts, and those with this address, out of the copy from now on."""
    sql = "insert into {schema}.ac_forgotten_key (key) values (:key) on conflict do nothing"
    run(connection, sql, key=secrets.token_bytes(32))
    forgotten = read_forgotten(connection)
    marks: dict[bytes, Mark] = {forgotten.hash("contact", number): "contact" for number in ids}
    if address is not None:
        marks[forgotten.hash("address", address)] = "address"
    for digest, mark in marks.items():
        run(connection, NOTE_LISTED, hash=digest, mark=mark)


def readmit(connection: Connection, ids: Iterable[int], address: str | None) -> int:
    """Let later syncs copy these contacts and this address; return how many were kept out."""
    forgotten = read_forgotten(connection)
    digests = [forgotten.hash("contact", number) for number in ids]
    digests += [] if address is None else [forgotten.hash("address", address)]
    sql = "delete from {schema}.ac_forgotten where hash = any(:hashes)"
    return run(connection, sql, hashes=digests).rowcount


def note_listed(database: Database, sync: Sync, marks: Mapping[bytes, Mark]) -> None:
    """Record that the account still lists these people, in one transaction per person.

    Longer ones could deadlock with those of other threads. Raises LeaseLost, so that a sync which
    froze before an undo does not note a person again.
    """
    for digest, mark in marks.items():
        with holding_lease(database, sync) as connection:
            run(connection, NOTE_LISTED, hash=digest, mark=mark)


def drop_expired(connection: Connection) -> None:
    """Delete the hashes of people whom the account no longer has."""
    run(connection, f"delete from {{schema}}.ac_forgotten where last_listed_at < now() - {KEPT}")


def read_left_out(connection: Connection, sync: Sync) -> dict[int, bool]:
    """Return the contacts that a sync has read and left out, and whether each is published.

    It still is if it got a forgotten address after the previous sync.
    """
    forgotten = read_forgotten(connection)
    if not forgotten:
        return {}
    rows = run(connection, READ_CONTACTS, "contacts", sync_no=sync.number)
    return {
        row.record_id: row.is_published for row in rows if forgotten.find("contact", row.record_id)
    }


def count_forgotten(connection: Connection) -> int:
    """Return how many forgotten contacts the account had when the last full sync read it."""
    sql = """
        select count(*) from {schema}.ac_forgotten
        where mark = 'contact' and last_listed_at > coalesce((
            select read_from - interval '1 hour' from {schema}.ac_published
            where data_type = 'contacts' and kind = 'full' order by sync_no desc limit 1
        ), '-infinity')
    """
    return int(run(connection, sql).scalar_one())
