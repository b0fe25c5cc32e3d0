"""Check whether Postgres lets a sync do what it must, without writing anything."""

from collections.abc import Iterator

from acsync.errors import SchemaOutdated, SchemaTooNew, StoreError
from acsync.preflight import CheckResult, from_error
from acsync.settings import DatabaseSettings
from acsync.store.database import SCHEMA_REVISION, Database, require_current_schema
from acsync.store.inspection import (
    FUNCTION,
    RIGHTS,
    SchemaAccess,
    open_read_only,
    read_access,
    read_missing_rights,
    read_server,
)
from acsync.store.status import RunningSync, read_pace, read_running


def check_database(settings: DatabaseSettings) -> Iterator[CheckResult]:
    """Check the server, the schema and the rights; raises StoreError where none is reached."""
    with open_read_only(settings) as database:
        yield _check_server(database)
        yield from _check_schema(database)


def read_rate_in_use(settings: DatabaseSettings) -> tuple[float | None, RunningSync | None]:
    """Return the rate that the last sync learned, and the sync that is running now.

    Both are None where the database cannot be read; `check_database` says why.
    """
    try:
        with open_read_only(settings) as database:
            pace = read_pace(database)
            return pace.learned_rate if pace else None, read_running(database)
    except StoreError:
        return None, None


def _check_server(database: Database) -> CheckResult:
    server = read_server(database)
    encryption = "over TLS" if server.uses_tls else "without TLS"
    seen = f"PostgreSQL {server.version} at {server.place}, {encryption}"
    if server.takes_writes and not server.uses_tls and server.is_remote:
        remedy = "Add ?sslmode=require to POSTGRES_URL: records and password cross the network."
        return CheckResult("Postgres", "warning", f"{seen}, which is another machine.", remedy)
    if server.takes_writes:
        return CheckResult("Postgres", "ok", f"{seen}.")
    # A standby does so, and some hosts when a database is out of space.
    remedy = "Set POSTGRES_URL to the primary, and let the role's transactions write."
    return CheckResult("Postgres", "problem", f"{seen}, takes no writes.", remedy)


def _check_schema(database: Database) -> Iterator[CheckResult]:
    """Check the revision, then the rights: those on the tables, or that to make them."""
    access = read_access(database)
    if access.usage is False:
        seen = f"{access.role} may not use the schema {database.schema}."
        yield CheckResult("schema", "problem", seen, _grants(database, access.role))
        return
    try:
        require_current_schema(database)
    except SchemaOutdated as error:
        yield from_error("schema", error, _remedy_to_migrate(error, access))
    except SchemaTooNew as error:
        yield from_error("schema", error)
    except StoreError as error:
        yield from_error("schema", error, _grants(database, access.role))
    else:
        yield CheckResult("schema", "ok", f"{database.schema} is at revision {SCHEMA_REVISION}.")
        yield _check_rights(database, access.role)


def _remedy_to_migrate(error: SchemaOutdated, access: SchemaAccess) -> str:
    if access.create:
        return error.remedy
    return f"{error.remedy}, as a role that may create here: {access.role} may not."


def _check_rights(database: Database, role: str) -> CheckResult:
    missing = read_missing_rights(database)
    if not missing:
        return CheckResult("rights", "ok", f"{role} may do all that a sync does.")
    seen = f"{role} may not {'; '.join(missing)}."
    return CheckResult("rights", "problem", seen, _grants(database, role))


def _grants(database: Database, role: str) -> str:
    rights = ", ".join(RIGHTS).lower()
    return (
        f"As the owner: grant usage on schema {database.schema} to {role}; grant {rights} on all "
        f"tables in schema {database.schema} to {role}; grant execute on function "
        f"{database.schema}.{FUNCTION} to {role};"
    )
