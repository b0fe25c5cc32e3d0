"""The key goes to the account alone, and the password to Postgres alone."""

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from acsync.errors import AcsyncError, SettingsError
from acsync.local.embedded_postgres import start_embedded, stop_embedded
from acsync.settings import read_database_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database, open_database, require_current_schema
from tests.support import faults
from tests.support.fixtures import Sync
from tests.support.prefect_server import free_port
from tests.support.syncs import last_log

SMALL = AccountOptions(contacts=60, deals=40, rate_limit=None)


@pytest.mark.parametrize("options", [SMALL])
def test_a_redirect_carries_the_key_nowhere(
    sync: Sync, account: Account, database: Database
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
        state = sync()
        server.shutdown()

    assert state.is_failed()
    assert asked == []
    assert "redirect" in last_log(database)["contacts_error"]


@pytest.mark.parametrize("letter", ["@", "/", "?", "#", ":", "%", "%40", "&"])
def test_an_unquoted_password_is_never_shown(letter: str) -> None:
    """With an unquoted @ or /, its rest becomes part of the host or the database name."""
    url = f"postgresql://me:12{letter}s3cr3t@127.0.0.1:{free_port()}/nowhere"

    with pytest.raises(AcsyncError) as refusal:
        require_current_schema(open_database(read_database_settings(POSTGRES_URL=url)))

    assert "s3cr3t" not in str(refusal.value)


def test_a_misread_url_is_refused_before_anything_is_called() -> None:
    """The message names the variable and the remedy, not the value."""
    with pytest.raises(SettingsError) as refusal:
        read_database_settings(POSTGRES_URL="postgresql://me:12/34@host/db")

    assert "POSTGRES_URL" in str(refusal.value)
    assert "%2F" in str(refusal.value)
    assert "34" not in str(refusal.value)


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
