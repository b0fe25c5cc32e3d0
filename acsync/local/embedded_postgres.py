"""Run an embedded Postgres, so that acsync works before a database is set up.

The data is in ACSYNC_DATA_DIR. The server listens only on a Unix socket.
"""

import fcntl
import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psutil
import psycopg2
from pydantic import SecretStr
from sqlalchemy import URL

from acsync.errors import StoreError
from acsync.local.postgres_programs import (
    ROOT_DATA,
    SYSTEM_USER,
    give_away,
    make_root_data,
    programs,
    run_program,
)
from acsync.settings import Settings

DATABASE = "acsync"
USER = "postgres"

# This file marks a folder as made by acsync.
MARK = ".acsync"
PID_FILE = "postmaster.pid"
SOCKET = ".s.PGSQL.5432"
MAX_SOCKET_PATH = 103  # bytes: macOS; Linux allows four more


def with_database_url(settings: Settings, start: bool = True) -> Settings:
    """Return the settings with the URL of the embedded Postgres, if they have no other.

    The server is started if it is not running. If it must not `start`, the URL stays empty.
    """
    if settings.database_url is not None:
        return settings
    if start:
        url = start_embedded(settings.data_dir)
    elif is_running(settings.data_dir):
        url = _url(settings.data_dir)
    else:
        return settings
    return settings.model_copy(update={"database_url": SecretStr(url)})


def is_embedded(settings: Settings) -> bool:
    """Return whether the settings name the running embedded Postgres in their `data_dir`."""
    url = settings.database_url
    return (
        url is not None
        and is_running(settings.data_dir)
        and url.get_secret_value() == _url(settings.data_dir)
    )


def start_embedded(data_dir: Path) -> str:
    """Start the server in `data_dir` if it is not running, and return the URL of its database.

    It listens only on a Unix socket and keeps running when this process ends. Raises StoreError.
    """
    folder = _folder(data_dir)
    with _failures(folder, "start"), _locked(folder):
        if not is_running(data_dir):
            _start(data_dir)
        _create_database(_socket_dir(folder))
        return _url(data_dir)


def is_running(data_dir: Path) -> bool:
    """Return whether the server in `data_dir` is running."""
    try:
        pid = int((_folder(data_dir) / PID_FILE).read_text().split("\n")[0])
        process = psutil.Process(pid)
        # In a container without an init process, a killed server remains as a zombie.
        return process.status() != psutil.STATUS_ZOMBIE and process.name().startswith("postgres")
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return False


def stop_embedded(data_dir: Path) -> None:
    """Stop the server in `data_dir`, also for others, and keep its data. Raises StoreError."""
    folder = _folder(data_dir)
    with _locked(folder):
        if is_running(data_dir):
            socket_dir = Path(_socket_dir(folder))
            with _failures(folder, "stop"):
                pg_ctl(data_dir, "-m", "fast", "stop")
                if socket_dir != folder:
                    socket_dir.rmdir()


def psql_command(data_dir: Path) -> str:
    """Return a shell line that opens psql on the running server."""
    socket_dir = _socket_dir(_folder(data_dir))
    return shlex.join([str(programs() / "psql"), "-h", socket_dir, "-U", USER, DATABASE])


def delete_command(data_dir: Path) -> str:
    """Return a shell line that stops the server in `data_dir` and deletes the whole folder."""
    folder = _folder(data_dir)
    pid_file = shlex.quote(str(folder / PID_FILE))
    folders = shlex.join(dict.fromkeys((str(data_dir), str(folder.parent))))
    return f'kill -INT "$(head -n 1 {pid_file})" && sleep 2 && rm -r {folders}'


def pg_ctl(data_dir: Path, *arguments: str) -> None:
    """Run Postgres's `pg_ctl` on the server in `data_dir`, and wait until it is done."""
    folder = _folder(data_dir)
    run_program(folder, "pg_ctl", "-w", "-D", str(folder), "-l", str(folder / "log"), *arguments)


def _folder(data_dir: Path) -> Path:
    """Return the folder of the data; raises StoreError if the server's user cannot enter it.

    For root, new data goes below ROOT_DATA if `data_dir` is in a folder closed to that user.
    """
    folder = data_dir.expanduser().resolve() / "postgres"
    if os.geteuid() != 0:
        return folder
    above = folder.parents[1:] if _is_ours(folder.parent) else folder.parents
    closed = [path for path in above if path.exists() and not path.stat().st_mode & 0o001]
    if not closed:
        return folder
    if folder.exists():
        raise StoreError(
            f"The embedded Postgres in {folder} runs as the user {SYSTEM_USER}, which cannot enter "
            f"{closed[-1]}.",
            f"Move {folder.parent} out of it, and set ACSYNC_DATA_DIR to the new place.",
        )
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return ROOT_DATA / digest / "postgres"


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is marked as made by acsync, or is empty or missing."""
    return not folder.is_dir() or not any(folder.iterdir()) or (folder / MARK).exists()


@contextmanager
def _failures(folder: Path, step: str) -> Iterator[None]:
    """Turn errors of the programs, the driver and the file system into a StoreError."""
    try:
        yield
    except (OSError, psycopg2.Error, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().partition("\n")[0]
        raise StoreError(
            f"The embedded Postgres in {folder} did not {step} ({reason}).",
            f"Look at {folder / 'log'}, or set POSTGRES_URL to your Postgres.",
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the server, so that only one thread or process starts or stops it."""
    if folder.is_relative_to(ROOT_DATA):
        make_root_data()
    make_private(folder.parent)
    with (folder.parent / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(data_dir: Path) -> None:
    """Start the server, after initdb if it has no data yet."""
    folder = _folder(data_dir)
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        if _is_ours(folder.parent):
            give_away(folder.parent)
        give_away(folder)
    if not (folder / "PG_VERSION").is_file():
        options = ("--auth=trust", "--encoding=utf8", f"--username={USER}")
        run_program(folder, "initdb", f"--pgdata={folder}", *options)
    # A crash leaves these files. If their process id now belongs to another program, Postgres would
    # take that for a server. It detects a real one by its shared memory.
    for name in (PID_FILE, f"{SOCKET}.lock"):
        (folder / name).unlink(missing_ok=True)
    # pg_ctl passes the options through a shell.
    listen = shlex.join(["-h", "", "-k", str(_choose_socket_dir(folder))])
    pg_ctl(data_dir, "-o", listen, "start")


def _choose_socket_dir(folder: Path) -> Path:
    """Return a folder that only the server's user can enter: the socket asks for no password."""
    # libpq splits the host at commas.
    if len(os.fsencode(folder / SOCKET)) <= MAX_SOCKET_PATH and "," not in str(folder):
        return folder
    other = Path(mkdtemp(prefix="acsync-"))
    if os.geteuid() == 0:
        give_away(other)
    return other


def make_private(folder: Path) -> None:
    """Make a folder private, unless it has other files in it and was not made by acsync."""
    if _is_ours(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / MARK).touch()
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o700)


def _socket_dir(folder: Path) -> str:
    """Return the folder of the running server's socket: the fifth line of its pid file."""
    return (folder / PID_FILE).read_text().split("\n")[4]


def _url(data_dir: Path) -> str:
    """Return the URL of the running server's database."""
    host = {"host": _socket_dir(_folder(data_dir))}
    url = URL.create("postgresql+psycopg2", username=USER, database=DATABASE, query=host)
    return url.render_as_string()


def _create_database(socket_dir: str) -> None:
    with closing(psycopg2.connect(host=socket_dir, user=USER, dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select from pg_database where datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"create database {DATABASE} template template0 encoding 'UTF8'")
