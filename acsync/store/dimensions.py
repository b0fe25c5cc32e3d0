"""Keep the last known row of each pipeline, stage, owner, list and tag."""

import json
from typing import Any

from sqlalchemy import Connection

from acsync.datasets import DimensionName, parse_record
from acsync.readings import Dimension, ListingRows
from acsync.store.database import Database, run

# Rows that are the same cost no write.
UPDATE_ROWS = """
    insert into {schema}.ac_dimensions as known (dimension, id, body, is_listed)
    select distinct on (id) :dimension, id, listed.body, true
    from jsonb_array_elements(cast(:rows as jsonb)) as listed (body)
    cross join lateral {schema}.ac_bigint(listed.body ->> 'id') as id
    where id is not null
    on conflict (dimension, id) do update set body = excluded.body, is_listed = true
    where known.body <> excluded.body or not known.is_listed
"""
MARK_VANISHED = """
    update {schema}.ac_dimensions set is_listed = false
    where dimension = :dimension and is_listed and not exists (
        select from jsonb_array_elements(cast(:rows as jsonb)) as listed (body)
        where {schema}.ac_bigint(listed.body ->> 'id') = ac_dimensions.id
    )
"""


def read_dimension(database: Database, name: DimensionName) -> ListingRows:
    """Return the last known rows of a dimension, in the order of their ids."""
    sql = """
        select body::text as body, is_listed from {schema}.ac_dimensions
        where dimension = :dimension order by id
    """
    rows = database.fetch(sql, dimension=name)
    return ListingRows(
        [parse_record(row.body) for row in rows if row.is_listed],
        vanished=[parse_record(row.body) for row in rows if not row.is_listed],
    )


def record_dimension(connection: Connection, dimension: Dimension) -> None:
    """Store the rows of a dimension; if it is complete, all other known rows have vanished."""
    values: dict[str, Any] = {
        "dimension": dimension.name,
        "rows": json.dumps(dimension.rows, default=str, ensure_ascii=False),
    }
    run(connection, UPDATE_ROWS, **values)
    if dimension.is_complete:
        run(connection, MARK_VANISHED, **values)
