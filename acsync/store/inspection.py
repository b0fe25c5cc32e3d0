"""Read what a Postgres is and what its role may do there, in read-only transactions."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from acsync.settings import LOOPBACK, Settings
from acsync.store.database import REVISION_TABLE, Database, open_database, run
from acsync.store.refusals import place_of

# SQL_ASCII stores bytes as they come, so it can hold every letter.
UNICODE = ("UTF8", "SQL_ASCII")

# What the README grants to the role of the syncs, on each of the tables.
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")

# What it runs with the rights of the owner.
FUNCTION = "ac_update_wide_view"

# All tables but that of the revision; a test compares them with the schema.
TABLES = (
    "ac_account",
    "ac_contact_versions",
    "ac_deal_stages",
    "ac_deal_versions",
    "ac_field_columns",
    "ac_lease",
    "ac_published",
    "ac_staged_contacts",
    "ac_staged_deals",
    "ac_staged_plans",
    "ac_staged_slices",
    "ac_sync_logs",
)


@dataclass(frozen=True)
class ServerState:
    """Which server answers and how; `takes_writes` is False for a standby."""

    version: str
    place: str
    encoding: str
    uses_tls: bool
    takes_writes: bool
    is_remote: bool


@dataclass(frozen=True)
class SchemaAccess:
    """What the role may do; `usage` is None where the schema does not exist."""

    role: str
    usage: bool | None
    create: bool


@contextmanager
def open_read_only(settings: Settings) -> Iterator[Database]:
    """Open the database so that Postgres itself refuses to write; raises StoreError."""
    with closing(open_database(settings)) as database:
        engine = database.engine.execution_options(postgresql_readonly=True)
        yield replace(database, engine=engine)


def read_server(database: Database) -> ServerState:
    """Connect, and read the server's version and whether it takes writes."""
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
        host = driver.info.host or "/"  # of several, the one that answered
    is_remote = not host.startswith("/") and host not in LOOPBACK
    place = place_of(database.engine.url)
    return ServerState(version, place, encoding, uses_tls, takes_writes, is_remote)


def read_encoding(connection: Connection) -> str:
    """Return the encoding of the database, such as UTF8."""
    sql = "select current_setting('server_encoding')"
    return str(run(connection, sql).scalar_one())


def read_access(database: Database) -> SchemaAccess:
    """Read what the role may do in the schema, or where to make it."""
    # By its oid: a privilege of a schema that does not exist is an error when asked by name.
    sql = """
        select current_user as role, has_schema_privilege(found.oid, 'USAGE') as usage,
               coalesce(has_schema_privilege(found.oid, 'CREATE'),
                        has_database_privilege(current_database(), 'CREATE')) as create
        from (select) as nothing left join pg_namespace as found on found.nspname = :wanted
    """
    with database.begin() as connection:
        return SchemaAccess(*run(connection, sql, wanted=database.schema).one())


def read_missing_rights(database: Database) -> list[str]:
    """Return what the role lacks, as `insert, update on ac_lease`."""
    sql = """
        select format('%s on %s', string_agg(lower(wanted), ', ' order by wanted), name)
        from unnest(cast(:tables as text[])) as name
        cross join unnest(cast(:rights as text[])) as wanted
        left join pg_class as found
            on found.relname = name and found.relnamespace = to_regnamespace(:schema)
        where has_table_privilege(found.oid, wanted) is not true
        group by name
        union all
        select 'execute on function ' || :function
        from (select) as nothing left join pg_proc as found
            on found.proname = :function and found.pronamespace = to_regnamespace(:schema)
        where has_function_privilege(found.oid, 'EXECUTE') is not true
        order by 1
    """
    values: dict[str, Any] = {
        "tables": list(TABLES),
        "rights": list(RIGHTS),
        "function": FUNCTION,
        "schema": database.schema,
    }
    with database.begin() as connection:
        return list(run(connection, sql, **values).scalars())


def read_row_security(database: Database) -> list[str]:
    """Return the tables whose rows a policy may hide from the role."""
    sql = """
        select relname from pg_class
        where relnamespace = to_regnamespace(:schema) and relname = any(:tables)
          and row_security_active(oid)
        order by relname
    """
    return _list_names(database, sql)


def read_unpublishable(database: Database) -> list[str]:
    """Return the tables that a publication keeps from being changed, with its name.

    Postgres refuses updates of a published table without a replica identity.
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
    with database.begin() as connection:
        return list(run(connection, sql, schema=database.schema, tables=tables).scalars())
