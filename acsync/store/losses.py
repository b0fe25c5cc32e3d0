"""Count the published data that publishing would lose, and leave out records that lose much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import Interval
from acsync.results import Sync
from acsync.store.database import Database, forbid_nested_loops, run
from acsync.store.lease import holding_lease
from acsync.store.staging import STAGED

Kind: TypeAlias = Literal["values", "tags", "lists"]

KINDS: tuple[Kind, ...] = get_args(Kind)

COUNT_VANISHED = f"""
    {STAGED}
    select count(*) filter (where staged.record_id is null) as lost, count(*) as had
    from {{versions}} as version left join staged using (record_id)
    where version.valid_to is null
"""

# Newest first, because a lagging replica hides the newest records.
READ_VANISHED = f"""
    {STAGED}, vanished as (
        select version.record_id from {{versions}} as version
        where version.valid_to is null
          and not exists (select from staged where staged.record_id = version.record_id)
          and exists (
              select from unnest(cast(:firsts as bigint[]), cast(:lasts as bigint[]))
                  as gap (first_id, last_id)
              where version.record_id between first_id and last_id
          )
    )
    select (select count(*) from vanished) as records,
           array(select record_id from vanished order by record_id desc limit :most) as newest_ids
"""


def _of(expression: str, row: str) -> str:
    return expression.replace("{row}", row)


def loses(expression: str) -> str:
    """Return SQL that is true if the published version has it and the staged record does not."""
    return f"({_of(expression, 'version')} and not {_of(expression, 'body')})"


# Whether a record has a custom field with a known definition. Values and definitions can be lost.
HAS_FIELDS = "jsonb_path_exists({row}.record, '$.customFields.*.fieldType ? (@ != null)')"

# The SQL twin of datasets.is_masked.
IS_MASKED = "coalesce(lower({row}.record ->> 'isDisabled') in ('true', '1'), false)"

# Whether a deal has the names of its pipeline and stage.
HAS_PIPELINE = "coalesce(jsonb_typeof({row}.record -> 'pipelineData') = 'object', false)"
HAS_STAGE = "coalesce(jsonb_typeof({row}.record -> 'stageData') = 'object', false)"

# The keys of a record's parts: field ids of values, names of tags, list ids of memberships. Null if
# the kind was not requested. An empty value counts as present: somebody cleared it.
KEYS: dict[Kind, str] = {
    "values": """array(
        select field ->> 'fieldId'
        from jsonb_path_query({row}.record, '$.customFields.*') as field
    )""",
    "tags": "{row}.tags",
    "lists": """case when jsonb_typeof({row}.lists) = 'array' then array(
        select membership ->> 'id' from jsonb_array_elements({row}.lists) as membership
    ) end""",
}


def _count_lost(kind: Kind) -> str:
    return f"""
        coalesce(sum((
            select count(*) from unnest({_of(KEYS[kind], "version")}) as key
            where key <> all ({_of(KEYS[kind], "body")})
        )), 0)::bigint as {kind}
    """


def _count_staged_losses(kinds: Sequence[Kind]) -> str:
    return f"""
        {STAGED}
        select count(*) filter (where {loses(HAS_FIELDS)}) as fields,
               count(*) filter (
                   where {_of(IS_MASKED, "body")} and not {_of(IS_MASKED, "version")}
               ) as sight,
               count(*) filter (where {loses(HAS_PIPELINE)} or {loses(HAS_STAGE)}) as names,
               {", ".join(map(_count_lost, kinds))}
        from {{bodies}} as body
        join staged using (slice_no, record_id)
        join {{versions}} as version using (record_id)
        where body.sync_no = :sync_no and version.valid_to is null
    """


COUNT_HAD = f"""
    select count(*) filter (where {_of(HAS_FIELDS, "version")}) as fields,
           count(*) filter (where not {_of(IS_MASKED, "version")}) as sight,
           count(*) filter (
               where {_of(HAS_PIPELINE, "version")} or {_of(HAS_STAGE, "version")}
           ) as names
    from {{versions}} as version
    where valid_to is null
"""


def _count_by_key(kind: Kind) -> str:
    """Return SQL for one row per key: how many records had, lose and will have it."""
    was, now = _of(KEYS[kind], "version"), _of(KEYS[kind], "body")
    return f"""
        {STAGED}, body as materialized (
            select record_id, {now} as keys
            from {{bodies}} as body join staged using (slice_no, record_id)
            where body.sync_no = :sync_no
        ), version as materialized (
            select record_id, {was} as keys from {{versions}} as version where valid_to is null
        )
        select key, sum(had) as had, sum(had * is_staged * (1 - stays)) as lost,
               sum(is_staged * stays) as kept
        from (
            select key, 1 as had, (staged.record_id is not null)::integer as is_staged,
                   coalesce(key = any (body.keys), true)::integer as stays
            from version cross join unnest(version.keys) as key
            left join staged using (record_id)
            left join body using (record_id)
            union all
            select key, 0, 1, 1
            from body cross join unnest(body.keys) as key
            left join version using (record_id)
            where coalesce(key <> all (version.keys), true)
        ) as counted
        where key is not null
        group by key
    """


@dataclass(frozen=True)
class Loss:
    """How many of the `had` published items would be `lost`."""

    lost: int
    had: int


@dataclass(frozen=True)
class KeyLoss(Loss):
    """The loss of one field, tag or list; `kept` records have it after publishing."""

    kept: int


@dataclass(frozen=True)
class Losses:
    """The losses that publishing would cause.

    `records` would be deleted. Of the others, `fields`, `sight` and `names` count the records that
    lose all custom fields, become masked, or lose the name of their pipeline or stage. `by_key`
    counts single values, tags and memberships by field id, tag and list id. It leaves out the kinds
    that lose fewer than the requested minimum.
    """

    records: Loss
    fields: Loss
    sight: Loss
    names: Loss
    by_key: Mapping[Kind, Mapping[str, KeyLoss]]


def count_losses(database: Database, sync: Sync, name: DatasetName, least: int) -> Losses:
    """Return what publishing would lose; count by key only if `least` of a kind are lost.

    Only records that were staged with a body can lose anything. Counting what all published records
    had is slow, because it unpacks them all, so it is done only if something is lost.
    """
    kinds = [kind for kind in KINDS if kind == "values" or kind in DATASETS[name].relations]
    with database.begin() as connection:
        forbid_nested_loops(connection)
        vanished = run(connection, COUNT_VANISHED, name, sync_no=sync.number).one()
        lost = run(connection, _count_staged_losses(kinds), name, sync_no=sync.number).one()
        is_any = lost.fields or lost.sight or lost.names
        had = run(connection, COUNT_HAD, name).one() if is_any else lost
        by_key = {
            kind: _read_by_key(connection, sync, name, kind)
            for kind in kinds
            if getattr(lost, kind) >= least
        }
    return Losses(
        records=Loss(vanished.lost, vanished.had),
        fields=Loss(lost.fields, had.fields),
        sight=Loss(lost.sight, had.sight),
        names=Loss(lost.names, had.names),
        by_key=by_key,
    )


def _read_by_key(
    connection: Connection, sync: Sync, name: DatasetName, kind: Kind
) -> dict[str, KeyLoss]:
    rows = run(connection, _count_by_key(kind), name, sync_no=sync.number)
    return {row.key: KeyLoss(row.lost, row.had, row.kept) for row in rows}


def read_vanished(
    database: Database, sync: Sync, name: DatasetName, within: Sequence[Interval], most: int
) -> tuple[int, Sequence[int]]:
    """Count the published records in the intervals that are not staged; return the newest ids."""
    bounds = {
        "firsts": [interval.first for interval in within],
        "lasts": [interval.last for interval in within],
    }
    with database.begin() as connection:
        forbid_nested_loops(connection)
        row = run(connection, READ_VANISHED, name, sync_no=sync.number, most=most, **bounds).one()
    return row.records, row.newest_ids


HAS_VALUES = "jsonb_path_exists({row}.record, '$.customFields.*')"
HAS_TAGS = "{row}.tags <> '{}'"
HAS_LISTS = "{row}.lists <> '[]'"

# Whether another record of the same answer has tags, so that the key can see them. A record without
# a body is as published.
SHOWS_TAGS = f"""(answer.slice_no, answer.before_ms) in (
    select shown.slice_no, shown.before_ms from answer as shown
    left join {{bodies}} as staged on staged.sync_no = :sync_no
        and staged.slice_no = shown.slice_no and staged.record_id = shown.record_id
    left join {{versions}} as known on known.record_id = shown.record_id and known.valid_to is null
    where case when staged.record_id is null then {_of(HAS_TAGS, "known")}
          else {_of(HAS_TAGS, "staged")} end
)"""

# Null if tags or lists were not requested: that is no loss. People do remove a last tag, while a
# cleared value stays as an empty one, and an unsubscribed list stays with its status.
LOSES_PART: dict[DatasetName, str] = {
    "contacts": f"""
        {loses(HAS_VALUES)} or {loses(HAS_LISTS)} or {loses(HAS_TAGS)} and not {SHOWS_TAGS}
    """,
    "deals": loses(HAS_VALUES),
}

# The records of an answer were requested at the same time.
READ_EMPTIED = """
    with answer as (
        select slice_no, record_id, before_ms from {schema}.ac_staged_slices
        cross join unnest(record_ids, read_before_ms) as staged (record_id, before_ms)
        where sync_no = :sync_no and data_type = :data_type
    )
    select distinct record_id
    from {bodies} as body join answer using (slice_no, record_id)
    join {versions} as version using (record_id)
    where body.sync_no = :sync_no and version.valid_to is null and ({losses})
"""

DROP_BODIES = "delete from {bodies} where sync_no = :sync_no and record_id = any(:ids)"

# A full sync that resumes takes over these ids as read.
DROP_IDS = """
    update {schema}.ac_staged_slices as slice
    set record_ids = coalesce(kept.record_ids, '{}'),
        read_before_ms = coalesce(kept.read_before_ms, '{}')
    from (
        select slice_no, array_agg(record_id order by place) as record_ids,
               array_agg(before_ms order by place) as read_before_ms
        from {schema}.ac_staged_slices left join lateral
            unnest(record_ids, read_before_ms) with ordinality as staged
                (record_id, before_ms, place) on record_id <> all (:ids)
        where sync_no = :sync_no and data_type = :data_type
        group by slice_no
    ) as kept
    where sync_no = :sync_no and data_type = :data_type and slice.slice_no = kept.slice_no
"""


def leave_out_emptied(database: Database, sync: Sync, name: DatasetName) -> list[int]:
    """Drop the staged records that lose all of a part that their published versions have.

    A key that lost a permission reads such records. Lost tags are published if another record of
    the same answer has some. Returns the ids of the dropped records.
    """
    sql = READ_EMPTIED.replace("{losses}", LOSES_PART[name])
    with holding_lease(database, sync) as connection:
        ids = list(run(connection, sql, name, sync_no=sync.number).scalars())
        for drop in (DROP_BODIES, DROP_IDS) if ids else ():
            run(connection, drop, name, sync_no=sync.number, ids=ids)
    return ids
