"""Run an embedded Postgres that listens on TCP, which every tool can use."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import make_url

from acsync.local.embedded_postgres import pg_ctl, start_embedded, stop_embedded
from tests.support.prefect_server import free_port

DATABASE = "compared"


class Postgres:
    """A server with one database for all tools, one after the other."""

    def __init__(self, port: int) -> None:
        # The server asks for no password, but some tools require one.
        self._server_url = f"postgresql://postgres:none@127.0.0.1:{port}"
        self.url = f"{self._server_url}/{DATABASE}"

    def recreate(self) -> None:
        """Replace the database by an empty one."""
        self._run("postgres", f"drop database if exists {DATABASE} with (force)")
        self._run("postgres", f"create database {DATABASE}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._run(DATABASE, sql)

    def _run(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(f"{self._server_url}/{database}")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []


@contextmanager
def running_postgres(data_dir: Path) -> Iterator[Postgres]:
    """Run the server until the block ends."""
    # `stop_embedded` finds the server by its socket, so the folder of the socket must not change.
    socket_dir, port = make_url(start_embedded(data_dir)).query["host"], free_port()
    options = f"-h 127.0.0.1 -p {port} -k {socket_dir}"
    try:
        pg_ctl(data_dir, "-m", "fast", "-o", options, "restart")
        yield Postgres(port)
    finally:
        stop_embedded(data_dir)
