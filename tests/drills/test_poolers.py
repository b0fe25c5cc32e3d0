"""Everything works through a pooler and over TLS, so nothing depends on the session."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import make_url

from acsync.local.embedded_postgres import USER
from acsync.simulator.account import Account
from tests.support.commands import acsync, ended, require_program, wait_for
from tests.support.fixtures import Sync
from tests.support.postgres import Postgres
from tests.support.prefect_server import free_port
from tests.support.syncs import assert_exact, fetch

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
    with ended(process, within_seconds=10):
        wait_for("PgBouncer", lambda: is_listening(port), seconds=10)
        yield f"127.0.0.1:{port}"


def is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


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


ENCRYPTED = """
    select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
    where application_name = 'acsync'
"""

CHECKS_OF_POSTGRES = ("Postgres", "schema", "rights")


@pytest.fixture
def pooled_url(postgres: Postgres) -> Iterator[str]:
    """Start PgBouncer in front of an empty database, in a folder that its user can read."""
    url = make_url(postgres.create("template1"))
    folder = Path(mkdtemp(prefix="acsync-pooler-"))
    folder.chmod(0o755)
    with pgbouncer(folder, str(url.query["host"])) as place:
        yield f"postgresql+psycopg2://{USER}@{place}/{url.database}?pgbouncer=true"
    shutil.rmtree(folder)


@pytest.fixture
def tls_url() -> Iterator[str]:
    """Run a PostgreSQL that refuses connections without TLS."""
    with tls_postgres() as url:
        yield f"{url}?sslmode=require"


def require_everything_works(
    url: str, sync: Sync, account: Account, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """Migrate, sync, change, sync again, query and check through this URL."""
    monkeypatch.setenv("POSTGRES_URL", url)
    migrated = acsync("migrate")
    assert migrated.returncode == 0, migrated.stderr

    assert sync().is_completed()
    account.change("contacts", 5)
    account.delete("deals", 2)
    assert sync().is_completed()

    status = acsync("status", "--max-age", "5m")
    assert status.returncode == 0, status.stderr
    checked = acsync("check", COLUMNS="400")
    assert checked.returncode == 0, checked.stdout
    return {name: row for name, row in rows_of(checked.stdout) if name in CHECKS_OF_POSTGRES}


def rows_of(table: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each check of the table by name, with its result, finding and remedy."""
    for line in table.splitlines():
        if line.startswith("│"):
            name, *row = (cell.strip() for cell in line.strip("│").split("│"))
            yield name, row


def test_everything_works_through_a_pooler_in_transaction_mode(
    pooled_url: str,
    sync: Sync,
    account: Account,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With PgBouncer, Neon or Supabase, each transaction can run on another connection."""
    checked = require_everything_works(pooled_url, sync, account, monkeypatch)

    assert {name: row[0] for name, row in checked.items()} == dict.fromkeys(
        CHECKS_OF_POSTGRES, "ok"
    )
    with closing(postgres.open(pooled_url)) as database:
        assert_exact(database, account)


def test_everything_works_over_tls(
    tls_url: str,
    sync: Sync,
    account: Account,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`sslmode=require` in the URL is kept, and every connection is encrypted."""
    checked = require_everything_works(tls_url, sync, account, monkeypatch)

    assert checked["Postgres"][1].endswith("/postgres, over TLS.")
    with closing(postgres.open(tls_url)) as database:
        assert_exact(database, account)
        assert fetch(database, ENCRYPTED) == [(True,)]
