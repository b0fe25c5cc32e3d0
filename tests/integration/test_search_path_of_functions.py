"""Functions look up no name in a schema that other roles can change."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

import migrations
from acsync.store.database import Database
from tests.support.postgres import Postgres, execute, url_of

# Postgres casts arguments of these types for its own operators, so an exact match would win.
OPERATORS = (
    (">", "integer", "numeric", "boolean"), ("<=", "integer", "numeric", "boolean"),
    ("/", "bigint", "numeric", "numeric"), ("/", "numeric", "integer", "numeric"),
    ("*", "numeric", "integer", "numeric"), ("->", "jsonb", "jsonb", "jsonb"),
    ("->>", "jsonb", "jsonb", "text"), ("||", "jsonb", "text", "jsonb"),
    ("=", "text", "varchar", "boolean"),
)  # fmt: skip
FUNCTIONS = (
    "left(text, bigint)", "substr(text, integer, bigint)", "length(varchar)",
    "make_date(integer, integer, bigint)", "jsonb_typeof(json)", "round(numeric, bigint)",
)  # fmt: skip


def trap(postgres: Postgres, database: Database) -> str:
    """Let a role create operators and functions in `public` that record their caller."""
    role = f"attacker_{len(postgres.made)}"
    postgres.execute(f"create role {role} login")
    execute(
        database,
        f"grant create on schema public to {role}; create table public.caught (by text, what text);"
        "grant insert on public.caught to public",
    )
    body = (
        "language plpgsql volatile as $$ begin "
        "insert into public.caught values (current_user, '{}'); return null; end $$"
    )
    statements = []
    for number, (operator, left, right, result) in enumerate(OPERATORS):
        statements.append(
            f"create function public.trap_{number}({left}, {right}) returns {result} "
            + body.format(operator)
        )
        statements.append(
            f"create operator public.{operator} (leftarg = {left}, rightarg = {right}, "
            f"function = public.trap_{number})"
        )
    statements += [
        f"create function public.{signature} returns text " + body.format(signature)
        for signature in FUNCTIONS
    ]
    url = make_url(url_of(database, role))
    with closing(
        psycopg2.connect(host=url.query["host"], user=role, dbname=url.database)
    ) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)
    return role


@pytest.fixture
def trapped(postgres: Postgres) -> Iterator[Database]:
    """Open a schema that was migrated in a database that already had traps."""
    url = postgres.create("template1")
    with closing(postgres.open(url, "acsync")) as database:
        trap(postgres, database)
        migrations.upgrade(database)
        yield database


KINDS = {
    "text": "a", "date": "2026-02-03", "datetime": "2026-02-03T04:05:06-05:00", "number": "12.5",
    "currency": "1250", "checkbox": "||a||b||",
}  # fmt: skip
RECORD = {
    "tags": ["a"], "value": "1250", "group": "1", "cdate": KINDS["datetime"],
    "udate": KINDS["datetime"], "customFields": {
        kind: {"fieldId": kind, "value": value, "fieldType": kind, "currency": "usd"}
        for kind, value in KINDS.items()
    },
}  # fmt: skip
PUBLISH = """
    insert into acsync.ac_staged_{name}s (sync_no, slice_no, record_id, hash, record)
    values (1, 1, 7, '', %(record)s);
    insert into acsync.ac_{name}_versions (valid_from, {columns})
    select 1, {columns} from acsync.ac_staged_{name}s;
    insert into acsync.ac_published
        (data_type, sync_no, sync_id, synced_at, record_count, duration_ms, read_from)
    values ('{name}s', 1, 'sync-1', now(), 1, 1, now());
    insert into acsync.ac_field_columns (data_type, field_id, type, key, column_name, first_sync)
    select '{name}s', kind, kind, kind, concat(kind, '_'), 'sync-1'
    from unnest(%(kinds)s) as kinds (kind);
    select acsync.ac_update_wide_view('{name}s') from generate_series(1, 3);
    select acsync.ac_execute(acsync.ac_wide_insert('{name}s'))
"""
COLUMNS = """
    select string_agg(column_name, ', ') from information_schema.columns
    where table_schema = 'acsync' and table_name = 'ac_staged_{name}s'
      and column_name not in ('sync_no', 'slice_no', 'is_refresh')
"""
VIEWS = "ac_contacts ac_deals ac_contacts_wide ac_deals_wide ac_fields ac_freshness ac_sync_data"


@contextmanager
def session(database: Database, role: str) -> Iterator[Any]:
    """Open a session that looks names up in `public`, the default."""
    url = make_url(url_of(database, role))
    with closing(
        psycopg2.connect(host=url.query["host"], user=role, dbname=url.database)
    ) as connection:
        yield connection.cursor()
        connection.commit()


def test_functions_take_no_operator_of_another_role(trapped: Database, postgres: Postgres) -> None:
    """Neither columns generated in staging nor the functions of a view run one."""
    reader = f"reader_{len(postgres.made)}"
    postgres.execute(f"create role {reader} login")
    with session(trapped, "postgres") as cursor:
        for name in ("contact", "deal"):
            cursor.execute(COLUMNS.format(name=name))
            (columns,) = cursor.fetchone()
            values = {"record": json.dumps(RECORD), "kinds": list(KINDS)}
            cursor.execute(PUBLISH.format(name=name, columns=columns), values)
        cursor.execute(
            f"grant usage on schema acsync to {reader}; "
            f"grant select on all tables in schema acsync to {reader}"
        )
    with session(trapped, reader) as cursor:
        for view in VIEWS.split():
            cursor.execute(f"select to_jsonb(view) from acsync.{view} as view")
        cursor.execute("select record_id from acsync.ac_records_as_of('sync-1')")
        as_of = cursor.fetchall()
        cursor.execute(
            "select date_, datetime_, number_, currency_, checkbox_, value, tags "
            "from acsync.ac_deals_wide cross join acsync.ac_contacts"
        )
        (shown,) = cursor.fetchall()

    with session(trapped, "postgres") as cursor:
        cursor.execute("select distinct by, what from public.caught")
        assert cursor.fetchall() == []
    assert as_of == [(7,), (7,)]
    moment = datetime.fromisoformat(KINDS["datetime"])
    half = Decimal("12.5")
    assert shown == (moment.date(), moment, half, half, ["a", "b"], half, ["a"])
