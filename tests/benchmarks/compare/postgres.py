"""Run one embedded Postgres that listens on TCP, as every tool can use it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import make_url

from acsync.store.embedded import pg_ctl, start_embedded, stop_embedded
from tests.support.prefect_server import free_port


class Postgres:
    """A server on this machine's `port`; its user `postgres` needs no password."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str) -> str:
        """Return a database's URL; the password is for tools that want one."""
        return f"postgresql://postgres:none@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database anew, and return its URL."""
        self._run("postgres", f"drop database if exists {database} with (force)")
        self._run("postgres", f"create database {database}")
        return self.url(database)

    def rows(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._run(database, sql)

    def _run(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.url(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []


@contextmanager
def running_postgres(data_dir: Path) -> Iterator[Postgres]:
    """Run the server until the block ends."""
    # The folder of the socket stays the same: the server is found by it, to be stopped.
    socket_dir, port = make_url(start_embedded(data_dir)).query["host"], free_port()
    options = f"-h 127.0.0.1 -p {port} -k {socket_dir}"
    try:
        pg_ctl(data_dir, "-m", "fast", "-o", options, "restart")
        yield Postgres(port)
    finally:
        stop_embedded(data_dir)
