"""Read the server's state and the role's rights, in read-only transactions."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from acsync.setting_types import LOOPBACK
from acsync.settings import Settings
from acsync.store.database import REVISION_TABLE, Database, open_database, run
from acsync.store.postgres_errors import place_of

# SQL_ASCII stores bytes unchanged, so it can hold every letter.
UNICODE = ("UTF8", "SQL_ASCII")
UNICODE_REMEDY = "Create another with: create database acsync template template0 encoding 'UTF8'"

# The rights on every table that a sync needs; the documentation grants them to its role.
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")

# The function that the role runs with the rights of the owner.
FUNCTION = "ac_update_wide_view"

# All tables except that of the revision. A test compares them with the schema.
TABLES = (
    "ac_account",
    "ac_contact_columns",
    "ac_contact_versions",
    "ac_currencies",
    "ac_deal_activities_seen",
    "ac_deal_columns",
    "ac_deal_event_readings",
    "ac_deal_events",
    "ac_deal_stages",
    "ac_deal_versions",
    "ac_deleted",
    "ac_dimensions",
    "ac_field_columns",
    "ac_forgotten",
    "ac_forgotten_key",
    "ac_incremental",
    "ac_lease",
    "ac_privacy",
    "ac_published",
    "ac_retention",
    "ac_schedule",
    "ac_staged_contacts",
    "ac_staged_deals",
    "ac_staged_plans",
    "ac_staged_slices",
    "ac_stored_changes",
    "ac_stored_digits",
    "ac_stored_lists",
    "ac_stored_tags",
    "ac_sync_logs",
    "ac_verifications",
)


@dataclass(frozen=True)
class ServerState:
    """The server and the connection to it; `takes_writes` is False for a standby."""

    version: str
    place: str
    encoding: str
    uses_tls: bool
    takes_writes: bool
    is_remote: bool


@dataclass(frozen=True)
class SchemaAccess:
    """The role and its rights; `usage` is None if the schema does not exist."""

    role: str
    usage: bool | None
    create: bool


@contextmanager
def open_read_only(settings: Settings) -> Iterator[Database]:
    """Open the database read-only, enforced by Postgres; raises StoreError."""
    with closing(open_database(settings)) as database:
        engine = database.engine.execution_options(postgresql_readonly=True)
        yield replace(database, engine=engine)


def read_digits(database: Database) -> dict[str, int]:
    """Return the number of decimal digits of each currency that may not have two."""
    rows = database.fetch("select code, digits from {schema}.ac_currencies")
    return {row.code: row.digits for row in rows}


def read_server(database: Database) -> ServerState:
    """Connect, and read the server's version and whether it accepts writes."""
    sql = """
        select current_setting('server_version'), not (
            pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean
        )
    """
    with database.begin() as connection:
        version, takes_writes = run(connection, sql).one()
        encoding = read_encoding(connection)
        driver: Any = connection.connection.driver_connection
        uses_tls = bool(driver.info.ssl_in_use)
        host = driver.info.host or "/"  # of several hosts, the one that answered
    is_remote = not host.startswith("/") and host not in LOOPBACK
    place = place_of(database.engine.url)
    return ServerState(version, place, encoding, uses_tls, takes_writes, is_remote)


def read_encoding(connection: Connection) -> str:
    """Return the encoding of the database, such as UTF8."""
    sql = "select current_setting('server_encoding')"
    return str(run(connection, sql).scalar_one())


def read_access(database: Database) -> SchemaAccess:
    """Read the role's rights in the schema, or its right to create the schema."""
    # By oid: asking by name for a schema that does not exist is an error.
    sql = """
        select current_user as role, has_schema_privilege(namespace.oid, 'USAGE') as usage,
               coalesce(has_schema_privilege(namespace.oid, 'CREATE'),
                        has_database_privilege(current_database(), 'CREATE')) as create
        from (select) as nothing
        left join pg_namespace as namespace on namespace.nspname = :schema
    """
    (access,) = database.fetch(sql, schema=database.schema)
    return SchemaAccess(*access)


def read_missing_rights(database: Database) -> list[str]:
    """Return the rights that the role lacks, such as `insert, update on ac_lease`."""
    sql = """
        select format('%s on %s', string_agg(lower(privilege), ', ' order by privilege), name)
        from unnest(cast(:tables as text[])) as name
        cross join unnest(cast(:rights as text[])) as privilege
        left join pg_class as class
            on class.relname = name and class.relnamespace = to_regnamespace(:schema)
        where has_table_privilege(class.oid, privilege) is not true
        group by name
        union all
        select 'execute on function ' || :function
        from (select) as nothing left join pg_proc as function
            on function.proname = :function and function.pronamespace = to_regnamespace(:schema)
        where has_function_privilege(function.oid, 'EXECUTE') is not true
        order by 1
    """
    values: dict[str, Any] = {
        "tables": list(TABLES),
        "rights": list(RIGHTS),
        "function": FUNCTION,
        "schema": database.schema,
    }
    return [right for (right,) in database.fetch(sql, **values)]


def read_row_security(database: Database) -> list[str]:
    """Return the tables whose rows a policy can hide from the role."""
    sql = """
        select relname from pg_class
        where relnamespace = to_regnamespace(:schema) and relname = any(:tables)
          and row_security_active(oid)
        order by relname
    """
    return _list_names(database, sql)


def read_unpublishable(database: Database) -> list[str]:
    """Return the tables that cannot be updated because of a publication, with its name.

    Postgres refuses to update a published table that has no replica identity.
    """
    sql = """
        select distinct format('%s (publication %s)', relname, pubname)
        from pg_publication_tables as published
        join pg_publication as publication using (pubname)
        join pg_class as class on relname = tablename
        where relnamespace = to_regnamespace(:schema) and schemaname = :schema
          and relname = any(:tables) and (pubupdate or pubdelete) and relreplident <> 'f'
          and not exists (
              select from pg_index where indrelid = class.oid
                and case relreplident when 'd' then indisprimary else indisreplident end
          )
        order by 1
    """
    return _list_names(database, sql)


def _list_names(database: Database, sql: str) -> list[str]:
    tables = [*TABLES, REVISION_TABLE]
    return [name for (name,) in database.fetch(sql, schema=database.schema, tables=tables)]
