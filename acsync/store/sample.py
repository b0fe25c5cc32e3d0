"""Read a few published records that have much to show."""

from dataclasses import dataclass
from typing import Any

from acsync.datasets import DatasetName
from acsync.store.database import Database, quote, run

# The columns of a sample by their headers.
COLUMNS: dict[DatasetName, dict[str, str]] = {
    "contacts": {"email": "email", "first name": "first_name", "tags": "tags"},
    "deals": {"title": "title", "value": "concat_ws(' ', value, currency)", "stage": "stage"},
}
ID_COLUMNS: dict[DatasetName, str] = {"contacts": "contact_id", "deals": "deal_id"}

# Types of custom fields whose values are short enough for a column of a terminal.
SHORT_TYPES = ("dropdown", "listbox", "multiselect", "currency", "date", "number")


@dataclass(frozen=True)
class StageCount:
    """How many deals are in a stage."""

    pipeline: str
    stage: str
    deals: int


def read_sample(
    database: Database, name: DatasetName, fields: int, size: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return headers and rows of the records with the most values, and a few custom fields."""
    find_fields = """
        select title, column_name from {schema}.ac_fields
        where data_type = :data_type and type = any(:types) and column_name is not null
        order by array_position(:types, type), field_id limit :fields
    """
    with database.begin() as connection:
        chosen = run(connection, find_fields, name, types=list(SHORT_TYPES), fields=fields).all()
        columns = COLUMNS[name] | {field.title: quote(field.column_name) for field in chosen}
        sql = f"""
            select {", ".join(columns.values())} from {{schema}}.ac_{name}_wide as wide
            order by (select count(value) from jsonb_each_text(to_jsonb(wide))) desc,
                {ID_COLUMNS[name]}
            limit :size
        """
        rows = run(connection, sql, name, size=size)
        return list(columns), [tuple(row) for row in rows]


def count_stages(database: Database) -> list[StageCount]:
    """Return the number of deals in each stage, in the order of pipelines and stages."""
    sql = """
        select pipeline, stage, count(*) from {schema}.ac_deals
        where pipeline is not null and stage is not null
        group by pipeline_id, pipeline, stage_id, stage
        order by pipeline_id, min((record #>> '{stageData,order}')::int), stage_id
    """
    return [StageCount(*row) for row in database.fetch(sql)]
