"""Check that Postgres allows everything a sync does, without writing anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from acsync.datasets import DatasetName
from acsync.errors import AnotherAccount, SchemaOutdated, SchemaTooNew, StoreError
from acsync.preflight.check_result import CheckResult, Status, from_error
from acsync.settings import Settings
from acsync.spelling import spell
from acsync.store.database import BODIES, SCHEMA_REVISION, Database, require_current_schema
from acsync.store.inspection import (
    FUNCTION,
    RIGHTS,
    UNICODE,
    UNICODE_REMEDY,
    SchemaAccess,
    ServerState,
    open_read_only,
    read_access,
    read_digits,
    read_missing_rights,
    read_row_security,
    read_server,
    read_unpublishable,
)
from acsync.store.other_roles import OtherRole, read_creators, read_other_roles
from acsync.store.schema_owner import require_account
from acsync.store.sync_history import read_pace
from acsync.store.sync_status import RunningSync, read_running, read_status


def check_database(settings: Settings) -> Iterator[CheckResult]:
    """Check the server, the schema and the rights; raises StoreError if no server answers."""
    with open_read_only(settings) as database:
        server = read_server(database)
        yield _check_server(server)
        yield from _check_encoding(server)
        yield from _check_creators(database)
        yield from _check_row_security(database)
        yield from _check_schema(database, settings)


@dataclass(frozen=True)
class Known:
    """What the database knows about the account; nothing if it cannot be read.

    `learned_rate` is that of the last sync, `published` counts the records, and `digits` are those
    of the currencies that may have other minor units than cents.
    """

    learned_rate: float | None = None
    running: RunningSync | None = None
    published: Mapping[DatasetName, int] = field(default_factory=dict)
    digits: Mapping[str, int] = field(default_factory=dict)


def read_known(settings: Settings) -> Known:
    """Return what the database knows; `check_database` reports the reason if it is nothing."""
    try:
        with open_read_only(settings) as database:
            pace, published = read_pace(database), read_status(database).published
            return Known(
                pace.learned_rate if pace else None,
                read_running(database),
                {name: data.record_count for name, data in published.items()},
                read_digits(database),
            )
    except StoreError:
        return Known()


def _check_server(server: ServerState) -> CheckResult:
    encryption = "over TLS" if server.uses_tls else "without TLS"
    seen = f"PostgreSQL {server.version} at {server.place}, {encryption}"
    if server.takes_writes and not server.uses_tls and server.is_remote:
        remedy = "Add ?sslmode=require to POSTGRES_URL: records and password cross the network."
        return CheckResult("Postgres", "warning", f"{seen}, on another machine.", remedy)
    if server.takes_writes:
        return CheckResult("Postgres", "ok", f"{seen}.")
    # A standby, or a database that its host made read-only because it is out of space.
    remedy = "Set POSTGRES_URL to the primary, and let the role's transactions write."
    return CheckResult("Postgres", "problem", f"{seen}, is read-only.", remedy)


def _check_encoding(server: ServerState) -> Iterator[CheckResult]:
    if server.encoding != "UTF8":
        seen = f"The database has the encoding {server.encoding}, not UTF8."
        status: Status = "warning" if server.encoding in UNICODE else "problem"
        yield CheckResult("encoding", status, seen, UNICODE_REMEDY)


def _check_creators(database: Database) -> Iterator[CheckResult]:
    """Warn of roles that could create a table with a trigger before `acsync migrate` does."""
    creators = ", ".join(read_creators(database))
    if creators:
        seen = f"{creators} may create tables and functions in the schema {database.schema}."
        remedy = f"As its owner: revoke create on schema {database.schema} from {creators};"
        yield CheckResult("schema rights", "warning", seen, remedy)


def _check_row_security(database: Database) -> Iterator[CheckResult]:
    """Name the tables with row security. Staging uses COPY, which Postgres refuses there."""
    tables = read_row_security(database)
    if tables:
        status: Status = "problem" if {*tables} & {*BODIES.values()} else "warning"
        seen = f"Row security applies to {', '.join(tables)}."
        statements = (
            f"alter table {database.schema}.{table} disable row level security;" for table in tables
        )
        yield CheckResult("row security", status, seen, f"As the owner: {' '.join(statements)}")


def _check_schema(database: Database, settings: Settings) -> Iterator[CheckResult]:
    """Check the revision, then the rights on the tables or the right to create them."""
    access = read_access(database)
    if access.usage is False:
        seen = f"{access.role} has no right to use the schema {database.schema}."
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
        rights = _check_rights(database, access.role)
        yield rights
        if rights.status == "ok":
            yield from _check_owner(database, settings)
        if settings.interval:
            yield _check_interval(database, settings.interval)
        yield from _check_publications(database)
        yield _check_other_roles(database)


def _remedy_to_migrate(error: SchemaOutdated, access: SchemaAccess) -> str:
    if access.create:
        return error.remedy
    return f"{error.remedy}, as a role that may create tables here. {access.role} lacks that right."


def _check_rights(database: Database, role: str) -> CheckResult:
    missing = read_missing_rights(database)
    if not missing:
        return CheckResult("rights", "ok", f"{role} has every right that a sync needs.")
    seen = f"{role} lacks these rights: {'; '.join(missing)}."
    return CheckResult("rights", "problem", seen, _grants(database, role))


def _check_owner(database: Database, settings: Settings) -> Iterator[CheckResult]:
    """Report a schema that holds another account, which a sync would refuse."""
    try:
        require_account(database, settings.account_name)
    except AnotherAccount as error:
        yield from_error("account", error)


def _check_interval(database: Database, chosen: timedelta) -> CheckResult:
    """Warn if this environment has another interval than the one that counts."""
    in_force = read_status(database).interval
    seen = f"A full sync every {spell(in_force)} is in force."
    if chosen == in_force:
        return CheckResult("interval", "ok", seen)
    seen = f"{seen} ACSYNC_INTERVAL is {spell(chosen)} here."
    remedy = "Run acsync deploy to put it in force, or unset ACSYNC_INTERVAL here."
    return CheckResult("interval", "warning", seen, remedy)


def _check_publications(database: Database) -> Iterator[CheckResult]:
    tables = read_unpublishable(database)
    if tables:
        seen = f"Postgres refuses to change {', '.join(tables)}: no replica identity."
        statements = (
            f"alter table {database.schema}.{table.split()[0]} replica identity full;"
            for table in tables
        )
        yield CheckResult("publication", "problem", seen, f"As the owner: {' '.join(statements)}")


def _check_other_roles(database: Database) -> CheckResult:
    """Warn of roles that can reach the data and probably should not."""
    roles = read_other_roles(database)
    seen = f"{'; '.join(map(_describe, roles))}." if roles else "No other role can reach the data."
    suspects = [role for role in roles if role.is_suspect]
    if not suspects:
        return CheckResult("other roles", "ok", seen)
    objects = sorted({name for role in suspects for name in role.objects})
    names = ", ".join(role.name for role in suspects)
    remedy = (
        f"Unless that is on purpose, as the owner: revoke all on {', '.join(objects)} from {names};"
    )
    return CheckResult("other roles", "warning", seen, remedy)


def _describe(role: OtherRole) -> str:
    origin = ", by default privileges" if role.by_default else ""
    return f"{role.name} may read {'and change ' if role.may_write else ''}the data{origin}"


def _grants(database: Database, role: str) -> str:
    rights = ", ".join(RIGHTS).lower()
    return (
        f"As the owner: grant usage on schema {database.schema} to {role}; grant {rights} on all "
        f"tables in schema {database.schema} to {role}; grant execute on function "
        f"{database.schema}.{FUNCTION} to {role};"
    )
