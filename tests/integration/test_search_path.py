"""A role that can create objects in `public` cannot run code with acsync's rights."""

from pathlib import Path

import pytest

from acsync.store.database import Database
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount
from tests.support.postgres import Postgres, execute
from tests.support.syncs import fetch

# Postgres prefers these operators and functions, because their types fit exactly.
TRAPS = """
do $traps$
declare
    types constant text[] := array[
        'integer', 'bigint', 'smallint', 'numeric', 'double precision', 'text', 'varchar', 'name',
        'boolean', 'timestamptz', 'timestamp', 'date', 'interval', 'jsonb', 'bytea', 'oid', 'regclass'
    ];
    operators constant text[] := array[
        '=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '||', '->', '->>', '#>>', '~', '~*'
    ];
    functions constant text[] := array[
        'abs', 'cardinality', 'current_setting', 'hashtext', 'length', 'lower', 'now', 'pg_notify',
        'quote_ident', 'round', 'row_to_json', 'scale', 'to_regclass', 'trunc', 'unnest'
    ];
    body constant text := 'language plpgsql as $f$ begin insert into public.trapped values (%L); return null; end $f$';
    l text; r text; name text; result text;
begin
    foreach l in array types loop
        foreach r in array types loop
            foreach result in array array['numeric', 'text', 'boolean'] loop
                execute format('create function public.trap_%s(%s, %s) returns %s ', result, l, r, result)
                    || format(body, l || ', ' || r);
            end loop;
            foreach name in array operators loop
                continue when to_regoperator(format('pg_catalog.%s(%s, %s)', name, l, r)) is not null;
                execute format('create operator public.%s (leftarg = %s, rightarg = %s, function = public.trap_%s)',
                    name, l, r, case when name in ('+', '-', '*', '/') then 'numeric'
                        when name in ('||', '->', '->>', '#>>') then 'text' else 'boolean' end);
            end loop;
        end loop;
        foreach name in array functions loop
            continue when to_regprocedure(format('pg_catalog.%s(%s)', name, l)) is not null;
            execute format('create function public.%s(%s) returns text ', name, l) || format(body, name);
        end loop;
    end loop;
end
$traps$;
"""  # noqa: E501


@pytest.fixture
def traps(database: Database, postgres: Postgres) -> str:
    """Create the traps as a role that can do nothing but create objects in `public`."""
    role = f"attacker_{len(postgres.made)}"
    postgres.execute(f"create role {role}")
    execute(
        database,
        "create table trapped (types text); grant insert on trapped to public;"
        f"grant create on schema public to {role}",
    )
    execute(database, f"set local role {role}; {TRAPS}")
    return role


def trapped(database: Database) -> list[str]:
    return [row[0] for row in fetch(database, "select distinct types from public.trapped")]


@pytest.mark.usefixtures("traps")
def test_the_traps_work(database: Database) -> None:
    """A session with the usual search path runs the foreign operator."""
    fetch(database, "select 1 > 1.5")

    assert trapped(database) == ["integer, numeric"]


@pytest.mark.usefixtures("traps", "prefect_api")
def test_nothing_that_acsync_does_runs_foreign_code(
    copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """Two syncs, the second with losses to count, and every command that reads."""
    assert copy_account().success
    execute(database, "update ac_contact_versions set hash = '' where record_id % 7 = 0")
    assert copy_account().success
    parquet, excel = str(tmp_path / "deals.parquet"), str(tmp_path / "deals.xlsx")
    commands = [
        ("status",),
        ("status", "--json", "--max-age", "30m"),
        ("export", "contacts", "--wide"),
        ("export", "deals", "--format", "jsonl"),
        ("export", "deals", "--wide", "--output", excel),
        ("export", "deals", "--output", parquet),
        ("migrate",),
        ("check",),
    ]

    ended = {command: acsync(*command) for command in commands}

    assert {command: done.returncode for command, done in ended.items()} == dict.fromkeys(
        commands, 0
    )
    assert trapped(database) == []
