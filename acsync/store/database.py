"""Connect to Postgres: one engine, one schema, qualified names, errors without secrets."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg2
from sqlalchemy import URL, Connection, CursorResult, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from acsync.datasets import DATASETS, DatasetName
from acsync.errors import SchemaOutdated, SchemaTooNew, StoreError
from acsync.settings import Settings
from acsync.store.postgres_errors import explain, place_of

# The revision of the tables that this code uses, and those before it. A test compares them with
# Alembic's.
SCHEMA_REVISION = "0025"
REVISIONS = tuple(f"{number:04}" for number in range(1, int(SCHEMA_REVISION) + 1))

# The wide views are updated by a function whose body is SQL, which older servers cannot parse.
LEAST_POSTGRES = 14

# Other programs that use Alembic in the same schema share Alembic's usual table.
REVISION_TABLE = "ac_schema_revision"
SHARED_REVISION_TABLE = "alembic_version"

# PgBouncer accepts all of these start-up parameters. It would refuse `options`.
CONNECT: dict[str, Any] = {
    "application_name": "acsync",
    "client_encoding": "utf8",
    "connect_timeout": 15,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

# Python has no other dates. A record can have one, such as 9999-12-31T23:59:59-05:00.
READABLE = "between '0001-01-02' and '9999-12-31'"

# Set in every transaction, because a pooler does not keep the settings of a session. The search
# path keeps other roles from injecting operators or functions. The driver reads no other style of
# intervals, and names of types are compared without quotes. A statement waits at most five seconds
# for a lock, a frozen client holds one for at most a minute, and the server's own time limits do
# not end long statements.
LOCK_TIMEOUT = "5s"
SEARCH_PATH = "set local search_path = pg_catalog, pg_temp"
LIMITS = f"""
    {SEARCH_PATH};
    set local intervalstyle = 'postgres';
    set local quote_all_identifiers = off;
    set local lock_timeout = '{LOCK_TIMEOUT}';
    set local idle_in_transaction_session_timeout = '60s';
    set local statement_timeout = '10min';
"""
NO_TRANSACTION_TIMEOUT = "set local transaction_timeout = 0;"  # since PostgreSQL 17

# One open transaction of `Database.begin`.
Transaction: TypeAlias = Connection

# The tables of each dataset's versions, of its staged records, and of the rows of its wide view.
VERSIONS: dict[DatasetName, str] = {
    "contacts": "ac_contact_versions",
    "deals": "ac_deal_versions",
}
BODIES: dict[DatasetName, str] = {"contacts": "ac_staged_contacts", "deals": "ac_staged_deals"}
WIDE_ROWS: dict[DatasetName, str] = {"contacts": "ac_contact_columns", "deals": "ac_deal_columns"}

# Characters that COPY interprets. The backslash is first, because the others add backslashes.
COPY_ESCAPES = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))


def quote(name: str) -> str:
    """Return a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def schema_name(connection: Connection) -> str:
    """Return the schema of a connection from `Database.begin`."""
    schema: str = connection.get_execution_options()["schema_translate_map"][None]
    return schema


def schema_of(connection: Connection) -> str:
    """Return the schema as a quoted identifier."""
    return quote(schema_name(connection))


def run(
    connection: Connection, sql: str, name: DatasetName | None = None, **values: Any
) -> CursorResult[*tuple[Any, ...]]:
    """Run one statement; replace `{schema}`, `{versions}` and `{bodies}` by qualified names.

    `{relations}` is the text of the relations in the versions, which only contacts have.
    """
    schema = schema_of(connection)
    if name is not None:
        sql = sql.replace("{versions}", f"{schema}.{VERSIONS[name]}")
        sql = sql.replace("{bodies}", f"{schema}.{BODIES[name]}")
        sql = sql.replace("{relations}", "relations::text" if DATASETS[name].relations else "null")
        values["data_type"] = name
    return connection.execute(text(sql.replace("{schema}", schema)), values)


def forbid_nested_loops(connection: Connection) -> None:
    """Disable nested loops until the transaction ends: such a plan could take hours.

    Staging has no statistics yet, so Postgres would expect a few rows instead of 80,000.
    """
    run(connection, "set local enable_nestloop = off")


def copy_rows(connection: Connection, table: str, rows: Iterable[Sequence[bytes | None]]) -> None:
    """Append rows of UTF-8 text to `table (columns)` by COPY."""
    lines = b"".join(b"\t".join(map(_escape, row)) + b"\n" for row in rows)
    sql = f"copy {schema_of(connection)}.{table} from stdin with (format text, encoding 'UTF8')"
    cursor: Any = connection.connection.cursor()
    with cursor:
        cursor.copy_expert(sql, io.BytesIO(lines))


def _escape(field: bytes | None) -> bytes:
    if field is None:
        return b"\\N"
    for plain, escaped in COPY_ESCAPES:
        field = field.replace(plain, escaped)
    return field


@dataclass(frozen=True)
class Database:
    """One schema of one Postgres, shared by all threads of a process."""

    engine: Engine
    schema: str

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end; raise StoreError if Postgres refuses."""
        try:
            with self.engine.begin() as connection:
                driver: Any = connection.connection.driver_connection
                version: int = driver.info.server_version
                require_supported(version, place_of(self.engine.url))
                has_timeout = version >= 170_000
                limits = LIMITS + (NO_TRANSACTION_TIMEOUT if has_timeout else "")
                connection.exec_driver_sql(limits)
                yield connection
        except (DBAPIError, PoolTimeout, psycopg2.Error) as error:
            raise explain(error, self.engine.url) from None

    def fetch(self, sql: str, name: DatasetName | None = None, **values: Any) -> Sequence[Any]:
        """Return the rows of one query, in its own transaction; see `run`."""
        with self.begin() as connection:
            return run(connection, sql, name, **values).all()

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Open a connection without a transaction, as VACUUM needs one."""
        try:
            with self.engine.connect() as connection:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
        except (DBAPIError, PoolTimeout, psycopg2.Error) as error:
            raise explain(error, self.engine.url) from None

    def close(self) -> None:
        """Close every connection; an embedded Postgres keeps running."""
        self.engine.dispose()


def require_supported(version: int, place: str) -> None:
    """Raise StoreError if the server is too old; `version` is its `server_version_num`."""
    major = version // 10_000
    if major < LEAST_POSTGRES:
        raise StoreError(
            f"Postgres at {place} is version {major}, but acsync needs {LEAST_POSTGRES} or later.",
            "Upgrade it, or set POSTGRES_URL to a newer one.",
        )


def open_database(settings: Settings) -> Database:
    """Return the database of the settings, which connects when first used; raises StoreError."""
    if settings.database_url is None:
        raise StoreError(
            f"POSTGRES_URL is not set, and no embedded Postgres is running in {settings.data_dir}.",
            "Set POSTGRES_URL, or start the embedded one with: acsync migrate",
        )
    url = _read_url(settings.database_url.get_secret_value())
    try:
        engine = create_engine(
            url,
            connect_args={key: value for key, value in CONNECT.items() if key not in url.query},
            pool_pre_ping=True,
            pool_size=5,
            max_overflow=20,
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            use_native_hstore=False,
        )
    except ArgumentError as error:
        raise StoreError(f"POSTGRES_URL cannot be used: {error}", "Correct it.") from None
    engine = engine.execution_options(schema_translate_map={None: settings.schema_name})
    return Database(engine, settings.schema_name)


def require_current_schema(database: Database) -> None:
    """Raise SchemaOutdated or SchemaTooNew unless the tables have this code's revision."""
    with database.begin() as connection:
        revision = read_revision(connection)
    place = f"The schema {database.schema} at {place_of(database.engine.url)}"
    if revision is None:
        raise SchemaOutdated(f"{place} has no acsync tables yet.", "Run: acsync migrate")
    require_known(revision, place)
    if revision != SCHEMA_REVISION:
        raise SchemaOutdated(
            f"{place} is at revision {revision}, this acsync needs {SCHEMA_REVISION}.",
            "Run: acsync migrate",
        )


def require_known(revision: str, place: str) -> None:
    """Raise SchemaTooNew unless this acsync knows the revision; the message starts with `place`."""
    if revision not in REVISIONS:
        raise SchemaTooNew(
            f"{place} is at revision {revision}, newer than the {SCHEMA_REVISION} this acsync "
            "knows.",
            "Update acsync.",
        )


def read_revision(connection: Connection) -> str | None:
    """Return the revision of acsync's tables; None if there are none.

    Before revision 0010 it was in `alembic_version`, which other programs also use.
    """
    if has_table(connection, REVISION_TABLE):
        return next(iter(_read_versions(connection, REVISION_TABLE)), None)
    if not has_table(connection, "ac_sync_logs") or not has_table(
        connection, SHARED_REVISION_TABLE
    ):
        return None
    revisions = _read_versions(connection, SHARED_REVISION_TABLE)
    return next((revision for revision in revisions if revision in REVISIONS), None)


def has_table(connection: Connection, name: str) -> bool:
    """Return whether the schema has a table or view of this name."""
    sql = "select to_regclass(:table_name) is not null"
    table_name = f"{schema_of(connection)}.{name}"
    return bool(run(connection, sql, table_name=table_name).scalar_one())


def _read_versions(connection: Connection, table: str) -> list[str]:
    sql = f"select version_num from {{schema}}.{table}"
    return list(run(connection, sql).scalars())


def _read_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise StoreError(
            "POSTGRES_URL is not a URL.",
            "It looks like postgresql://USER:PASSWORD@HOST/DATABASE.",
        ) from None
    # An unquoted @ in a password moves part of it into the host, which libpq's messages show.
    if "@" in (url.host or ""):
        raise StoreError("POSTGRES_URL has more than one @.", "Write the @ in its password as %40.")
    return url
