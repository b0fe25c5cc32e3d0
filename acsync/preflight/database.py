"""Look, in read-only transactions, whether Postgres lets a sync do what it must."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from acsync.errors import SchemaOutdated, SchemaTooNew, StoreError
from acsync.preflight.checks import Finding, compare_clocks, from_error
from acsync.settings import DatabaseSettings
from acsync.store.database import (
    SCHEMA_REVISION,
    Database,
    open_database,
    place_of,
    require_current_schema,
)
from acsync.store.embedded import has_embedded
from acsync.store.sql import run
from acsync.store.status import read_learned_rate, read_status

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
"""What the README grants to the role of the syncs, on each of the tables."""

TABLES = (
    "ac_contact_versions",
    "ac_deal_versions",
    "ac_lease",
    "ac_published",
    "ac_staged_plans",
    "ac_staged_records",
    "ac_staged_slices",
    "ac_sync_logs",
)
"""All there are but Alembic's own, says a test."""


@dataclass(frozen=True)
class Past:
    """What the database knows of the account's calls: the rate last learned, and who calls now."""

    learned_rate: float | None = None
    running_sync: str | None = None


def read_past(settings: DatabaseSettings) -> Past:
    """Give what earlier syncs left behind; nothing where that cannot be read."""
    try:
        with _open_read_only(settings) as database:
            running = read_status(database)["running"]
            return Past(read_learned_rate(database), running["sync_id"] if running else None)
    except StoreError:
        return Past()


def inspect_database(settings: DatabaseSettings) -> Iterator[Finding]:
    """Look at the server, its clock, the schema and the rights; raises StoreError without one."""
    with _open_read_only(settings) as database:
        with database.begin() as connection:
            yield _inspect_server(connection, database)
            yield _inspect_clock(connection)
        yield from _inspect_schema(database)


@contextmanager
def _open_read_only(settings: DatabaseSettings) -> Iterator[Database]:
    """Open the database so that Postgres itself refuses to write; make no embedded one."""
    if settings.database_url is None and not has_embedded(settings.data_dir):
        raise StoreError(
            f"POSTGRES_URL is not set, and there is no embedded Postgres in {settings.data_dir} "
            "yet. Run: acsync migrate"
        )
    with closing(open_database(settings)) as database:
        engine = database.engine.execution_options(postgresql_readonly=True)
        yield replace(database, engine=engine)


def _inspect_server(connection: Connection, database: Database) -> Finding:
    """Name the server; a standby, or a database out of space at its host, takes no writes."""
    version, standby, read_only = run(
        connection,
        "select current_setting('server_version'), pg_is_in_recovery(), "
        "current_setting('default_transaction_read_only')::boolean",
    ).one()
    link: Any = connection.connection.driver_connection
    way = "over TLS" if link.info.ssl_in_use else "without TLS"
    seen = f"PostgreSQL {version} at {place_of(database.engine.url)}, {way}"
    if not (standby or read_only):
        return Finding("Postgres", "ok", f"{seen}.")
    remedy = "Set POSTGRES_URL to the primary, and let the role's transactions write."
    return Finding("Postgres", "problem", f"{seen}, takes no writes.", remedy)


def _inspect_clock(connection: Connection) -> Finding:
    asked = datetime.now(UTC)
    theirs: datetime = run(connection, "select clock_timestamp()").scalar_one()
    ours = asked + (datetime.now(UTC) - asked) / 2
    return compare_clocks("clock of Postgres", (theirs - ours).total_seconds())


def _inspect_schema(database: Database) -> Iterator[Finding]:
    """Look at the revision, then at what the role may do there: rights on tables, or make them."""
    with database.begin() as connection:
        access = _read_access(connection, database.schema)
    if access.usage is False:
        seen = f"{access.role} may not use the schema {database.schema}."
        yield Finding("schema", "problem", seen, _grants(database, access.role))
        return
    try:
        require_current_schema(database)
    except SchemaOutdated as error:
        yield _judge_outdated(from_error("schema", error), access)
        return
    except SchemaTooNew as error:
        yield from_error("schema", error)
        return
    except StoreError as error:
        yield replace(from_error("schema", error), remedy=_grants(database, access.role))
        return
    yield Finding("schema", "ok", f"{database.schema} is at revision {SCHEMA_REVISION}.")
    yield _inspect_rights(database, access.role)


@dataclass(frozen=True)
class _Access:
    """What the role may do; `usage` is None where the schema does not exist."""

    role: str
    usage: bool | None
    create: bool


def _read_access(connection: Connection, schema: str) -> _Access:
    """Ask for the schema by its oid: by its name, one that does not exist is an error."""
    row = run(
        connection,
        """
        select current_user as role, has_schema_privilege(found.oid, 'USAGE') as usage,
               coalesce(has_schema_privilege(found.oid, 'CREATE'),
                        has_database_privilege(current_database(), 'CREATE')) as create
        from (select) as nothing left join pg_namespace as found on found.nspname = :wanted
        """,
        wanted=schema,
    ).one()
    return _Access(row.role, row.usage, row.create)


def _judge_outdated(finding: Finding, access: _Access) -> Finding:
    """Add to the remedy, which is to migrate, that this role cannot."""
    if access.create:
        return finding
    remedy = f"{finding.remedy}, as a role that may create here: {access.role} may not."
    return replace(finding, remedy=remedy)


def _inspect_rights(database: Database, role: str) -> Finding:
    with database.begin() as connection:
        missing = run(
            connection,
            """
            select format('%s on %s', string_agg(lower(wanted), ', ' order by wanted), name)
            from unnest(cast(:tables as text[])) as name
            cross join unnest(cast(:rights as text[])) as wanted
            left join pg_class as found
                on found.relname = name and found.relnamespace = to_regnamespace(:schema)
            where has_table_privilege(found.oid, wanted) is not true
            group by name order by name
            """,
            tables=list(TABLES),
            rights=list(RIGHTS),
            schema=database.schema,
        ).scalars().all()  # fmt: skip
    if not missing:
        return Finding("rights", "ok", f"{role} may do all that a sync does.")
    seen = f"{role} may not {'; '.join(missing)}."
    return Finding("rights", "problem", seen, _grants(database, role))


def _grants(database: Database, role: str) -> str:
    rights = ", ".join(RIGHTS).lower()
    return (
        f"As the owner: grant usage on schema {database.schema} to {role}; grant {rights} on all "
        f"tables in schema {database.schema} to {role};"
    )
