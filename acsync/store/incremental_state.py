"""Keep what an incremental sync starts from, and what it learned about the account's dates."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.store.database import READABLE, Database, run

# By how much clocks are set back in autumn.
CLOCK_CHANGE = timedelta(hours=1)

# How the account answers questions about dates: to the second, by days alone, or not at all.
DateFilter: TypeAlias = Literal["times", "days", "ignored", "refused"]


@dataclass(frozen=True)
class Learned:
    """The answers of the account to questions about dates since the last full sync.

    `reason` is why it cannot be read incrementally. `unknown_ids` were looked up in vain, such as
    `users:901`.
    """

    date_filter: DateFilter | None = None
    reason: str | None = None
    unknown_ids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Start:
    """The state from which an incremental sync of a dataset starts.

    `read_at` is when the last published sync began to read, by the account's clock and in its time
    zone. `margin` is how much earlier to ask, because a clock change may have moved the zone since.
    `newest_id` is the highest id that was ever published, and `records` are published now.
    """

    read_at: datetime
    margin: timedelta
    newest_id: int
    records: int
    learned: Learned


def read_start(database: Database, name: DatasetName) -> Start | None:
    """Return what the next incremental sync starts from, or None before the first full sync."""
    sql = """
        select server_time, record_count, date_filter, reason, unknown_ids,
               (select max(record_id) from {versions}) as newest_id,
               (select date from (
                   select updated_at, record ->> :date_key as date from {versions}
                   where valid_to is null order by record_id desc limit 100
               ) as newest order by updated_at desc nulls last limit 1) as newest_date
        from {schema}.ac_published left join {schema}.ac_incremental using (data_type)
        where data_type = :data_type
        order by sync_no desc limit 1
    """
    rows = database.fetch(sql, name, date_key=DATASETS[name].date_key)
    if not rows or rows[0].server_time is None:
        return None
    row = rows[0]
    learned = Learned(row.date_filter, row.reason, frozenset(row.unknown_ids or ()))
    date = _parse_date(row.newest_date)
    read_at = row.server_time.astimezone(date.tzinfo if date else UTC)
    is_recent = date is not None and read_at - date < CLOCK_CHANGE
    margin = timedelta() if is_recent else CLOCK_CHANGE
    return Start(read_at, margin, row.newest_id or 0, row.record_count, learned)


def _parse_date(text: str | None) -> datetime | None:
    try:
        date = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return date if date.tzinfo else None


def record_learned(connection: Connection, name: DatasetName, learned: Learned) -> None:
    """Store what an incremental sync has learned."""
    run(
        connection,
        """
        insert into {schema}.ac_incremental as known (data_type, date_filter, reason, unknown_ids)
        values (:data_type, :date_filter, :reason, cast(:unknown_ids as text[]))
        on conflict (data_type) do update set date_filter = excluded.date_filter,
            reason = excluded.reason, unknown_ids = excluded.unknown_ids
        where (known.date_filter, known.reason, known.unknown_ids)
            is distinct from (excluded.date_filter, excluded.reason, excluded.unknown_ids)
        """,
        name,
        date_filter=learned.date_filter,
        reason=learned.reason,
        unknown_ids=sorted(learned.unknown_ids),
    )


def forget_learned(connection: Connection, name: DatasetName) -> None:
    """Let the next incremental sync try again; a full sync has read everything."""
    run(connection, "delete from {schema}.ac_incremental where data_type = :data_type", name)


def read_dates(database: Database, name: DatasetName, ids: Collection[int]) -> dict[int, datetime]:
    """Return when the published records among these ids were last changed in ActiveCampaign."""
    sql = f"""
        select record_id, updated_at from {{versions}}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
          and updated_at {READABLE}
    """
    return {row.record_id: row.updated_at for row in database.fetch(sql, name, ids=list(ids))}
