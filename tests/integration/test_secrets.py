"""Key and password appear only in their places, even with every debug log on."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
import pytest
from prefect.settings import PREFECT_HOME
from sqlalchemy import make_url

from acsync.errors import AcsyncError, SettingsError
from acsync.local.embedded_postgres import start_embedded, stop_embedded
from acsync.settings import read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.store.database import Database, open_database, require_current_schema
from tests.support import faults
from tests.support.commands import acsync
from tests.support.fixtures import Sync
from tests.support.prefect_server import free_port
from tests.support.syncs import last_log

KEY = "k3y-0f-the-acc0unt-7a1b2c3d"
OLD_KEY = "0ld-k3y-9f8e7d6c"
PASSWORD = "pa55/w0rd@f-the#database"
SECRETS = (KEY, OLD_KEY, PASSWORD, quote(PASSWORD, safe=""))

LOUD = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "acsync,httpx,httpcore,sqlalchemy,tenacity,alembic",
    "PREFECT_DEBUG_MODE": "true",
}
OPTIONS = AccountOptions(contacts=60, deals=40, api_key=KEY, rate_limit=None, latency_seconds=0.1)

pytestmark = pytest.mark.parametrize("options", [OPTIONS])


@pytest.fixture
def secret_url(sync: Sync, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """Add a password to the database URL; the test server trusts everybody and ignores it."""
    url = make_url(database_url).set(drivername="postgresql", password=PASSWORD)
    monkeypatch.setenv("POSTGRES_URL", url.render_as_string(hide_password=False))
    return sync


def found_in(text: str | bytes) -> list[str]:
    """Return the names of the secrets in a text, or in the bytes of a file."""
    content = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret.encode() in content]


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Collect every command line on this machine while the block runs."""
    done, seen = threading.Event(), set[str]()

    def watch() -> None:
        while not done.wait(0.05):
            seen.update(
                " ".join(process.info["cmdline"] or ())
                for process in psutil.process_iter(["cmdline"])
            )

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen
    done.set()
    watcher.join()


def output_of(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


@pytest.mark.usefixtures("secret_url")
def test_no_command_shows_a_secret_at_any_log_level(
    account: Account, database: Database, prefect_api: str
) -> None:
    """Good and bad syncs run with debug logs. Then the test searches everything that they left."""
    loud = {**LOUD, "PREFECT_API_URL": prefect_api}
    with watched_processes() as command_lines:
        good = acsync("sync", **loud)
        refused = acsync("sync", **loud, AC_API_KEY=OLD_KEY)
        account.faults.add(faults.redirect("http://127.0.0.1:9/api/3/"))
        redirected = acsync("sync", "--only", "contacts", **loud)
        others = [acsync(*words, **loud) for words in (["status", "--json"], ["migrate"])]

    runs = [good, refused, redirected, *others]
    assert [run.returncode for run in runs] == [0, 1, 1, 0, 0], output_of(good)
    assert "httpcore" in output_of(good)
    assert "sqlalchemy.engine" in output_of(good)
    assert [found_in(output_of(run)) for run in runs] == [[]] * len(runs)
    assert any("tests.support.warm" in line for line in command_lines)
    assert found_in("\n".join(command_lines)) == []
    assert found_in(everything_in(database)) == []
    assert {file.name: secrets for file in files_of_prefect() if (secrets := left_in(file))} == {}


def everything_in(database: Database) -> str:
    """Return every row of every table of the schema as text."""
    tables = "select table_name from information_schema.tables where table_schema = 'public'"
    with database.begin() as connection:
        names = connection.exec_driver_sql(tables).scalars().all()
        rows = [
            str(row)
            for name in names
            for row in connection.exec_driver_sql(f"select {name}::text from {name}")
        ]
    assert any("redirect" in row for row in rows), rows[:3]
    return "\n".join(rows)


def files_of_prefect() -> list[Path]:
    """Return the files of the Prefect server: its SQLite database, its log, stored results."""
    files = [file for file in PREFECT_HOME.value().rglob("*") if file.is_file()]
    assert "prefect.db" in {file.name for file in files}
    return files


def left_in(file: Path) -> list[str]:
    return found_in(file.read_bytes())


@pytest.mark.usefixtures("database")
def test_a_redirect_carries_the_key_nowhere(
    secret_url: Sync, account: Account, database: Database
) -> None:
    """The client must not even call another host, or plain http."""
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers}")
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        account.faults.add(faults.redirect(f"http://127.0.0.1:{server.server_port}/api/3/"))
        state = secret_url()
        server.shutdown()

    assert state.is_failed()
    assert asked == []
    assert "redirect" in last_log(database)["contacts_error"]


@pytest.mark.usefixtures("options")
@pytest.mark.parametrize("letter", ["@", "/", "?", "#", ":", "%", "%40", "&"])
def test_an_unquoted_password_is_never_shown(letter: str) -> None:
    """With an unquoted @ or /, its rest becomes part of the host or the database name."""
    url = f"postgresql://me:12{letter}s3cr3t@127.0.0.1:{free_port()}/nowhere"

    with pytest.raises(AcsyncError) as refusal:
        require_current_schema(open_database(read_database_settings(POSTGRES_URL=url)))

    assert "s3cr3t" not in str(refusal.value)


@pytest.mark.usefixtures("options")
def test_a_misread_url_is_refused_before_anything_is_called() -> None:
    """The message names the variable and the remedy, not the value."""
    with pytest.raises(SettingsError) as refusal:
        read_database_settings(POSTGRES_URL="postgresql://me:12/34@host/db")

    assert "POSTGRES_URL" in str(refusal.value)
    assert "%2F" in str(refusal.value)
    assert "34" not in str(refusal.value)


@pytest.mark.usefixtures("options")
@pytest.mark.parametrize("name", ["short", "with a blank", "long" * 30])
def test_the_embedded_postgres_accepts_only_its_user(name: str, tmp_path: Path) -> None:
    """It trusts every connection, so its socket is private and it has no TCP port."""
    data_dir = tmp_path / name
    host = make_url(start_embedded(data_dir)).query["host"]
    try:
        with closing(psycopg2.connect(host=host, user="postgres", dbname="acsync")) as connection:
            cursor = connection.cursor()
            cursor.execute("show listen_addresses")
            listens_on = cursor.fetchone()
    finally:
        folder, data = Path(str(host)).stat(), (data_dir / "postgres").stat()
        stop_embedded(data_dir)

    assert listens_on == ("",)
    assert (oct(folder.st_mode & 0o777), oct(data.st_mode & 0o777)) == ("0o700", "0o700")
    assert folder.st_uid == data.st_uid
