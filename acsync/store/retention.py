"""Keep the history in force: a sync can make it longer, and only `migrate --keep` shorter."""

from datetime import timedelta
from typing import TypeAlias

from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.setting_types import format_kept, parse_kept
from acsync.store.database import Database, run

# A number of published syncs, or their age.
Keep: TypeAlias = int | timedelta


def settle_keep(connection: Connection, keep: Keep, interval: timedelta) -> Keep:
    """Put `keep` in force unless it is shorter than the value in force; return the longer one.

    A number of syncs is as long as that many intervals.
    """
    stored = run(connection, "select keep from {schema}.ac_retention").scalar_one_or_none()
    in_force = parse_kept(stored) if stored else keep
    if _age_of(keep, interval) < _age_of(in_force, interval):
        return in_force
    _store(connection, keep)
    return keep


def confirm_keep(database: Database, keep: Keep) -> None:
    """Put `keep` in force, even if it is shorter."""
    with database.begin() as connection:
        _store(connection, keep)


def _store(connection: Connection, keep: Keep) -> None:
    sql = """
        insert into {schema}.ac_retention as known (id, keep) values (1, :keep)
        on conflict (id) do update set keep = excluded.keep where known.keep <> excluded.keep
    """
    run(connection, sql, keep=format_kept(keep))


def _age_of(keep: Keep, interval: timedelta) -> timedelta:
    """Return the age, or the time that a number of syncs takes."""
    return keep if isinstance(keep, timedelta) else keep * interval


def retire_versions(connection: Connection, name: DatasetName, keep: Keep) -> int:
    """Delete all but the last `keep` published full syncs.

    If `keep` is an age, the history of that time stays whole: it begins with the newest full sync
    that is older, or with the first. Incremental syncs go with the full ones. The versions that
    the oldest kept sync closed are kept, because they show what it changed. Returns how many
    versions were deleted.
    """
    oldest_kept = (
        """
        select coalesce(max(sync_no) filter (where synced_at <= now() - :keep), min(sync_no))
        from of_dataset
        """
        if isinstance(keep, timedelta)
        else """
        select min(sync_no)
        from (select sync_no from of_dataset order by sync_no desc limit :keep) as kept
        """
    )
    oldest = run(
        connection,
        f"""
        with of_dataset as (
            select sync_no, synced_at from {{schema}}.ac_published
            where data_type = :data_type and kind = 'full'
        )
        {oldest_kept}
        """,
        name,
        keep=keep,
    ).scalar()
    run(
        connection,
        "delete from {schema}.ac_published where data_type = :data_type and sync_no < :oldest",
        name,
        oldest=oldest,
    )
    run(
        connection,
        "delete from {schema}.ac_stored_changes where data_type = :data_type and sync_no < :oldest",
        name,
        oldest=oldest,
    )
    sql = "delete from {versions} where valid_to < :oldest"
    return run(connection, sql, name, oldest=oldest).rowcount
