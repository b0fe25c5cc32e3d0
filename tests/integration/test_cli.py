"""The `acsync` command has plain messages and exit statuses, and shows no traceback."""

import json
import os
import pty
import re
import socket
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from acsync.local.embedded_postgres import stop_embedded
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from tests.support import faults
from tests.support.commands import ACSYNC, acsync, start_anew, wait, wait_for
from tests.support.fixtures import CopyAccount
from tests.support.prefect_server import deploy, free_port, temporary_servers

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def options() -> AccountOptions:
    """Use a small account: these tests are about commands."""
    return AccountOptions(contacts=70, deals=60, rate_limit=None)


@pytest.mark.usefixtures("served")
def test_sync_shows_its_progress_and_what_it_did(account: Account) -> None:
    """Without a terminal it prints plain lines. The figures are those of the log."""
    done = acsync("sync")

    assert done.returncode == 0, done.stderr
    assert "contacts: 70 records; 70 added, 0 updated, 0 deleted" in done.stdout
    assert "per second, limit 100)" in done.stdout

    status = acsync("status", "--json")
    payload = json.loads(status.stdout)
    assert status.returncode == 0
    assert payload["currentStatus"]["overall_success"] is True
    assert payload["running"] is None
    assert payload["latestData"]["contacts"]["recordCount"] == 70
    assert payload["statistics"]["successRate"] == "100.00%"
    assert account.statistics.calls > 0
    assert "contacts: 70 records" in acsync("status").stdout


@pytest.mark.usefixtures("served_account")
def test_status_says_when_the_next_sync_is_due(api: httpx.Client) -> None:
    """Without a schedule, or without Prefect, it says that instead."""
    unscheduled = acsync("status").stdout
    deploy()
    # Prefect makes the runs of a new schedule within some seconds.
    wait_for("a scheduled run", lambda: "next sync: due in" in acsync("status").stdout)
    alone = acsync("status", PREFECT_API_URL="").stdout
    away = acsync("status", PREFECT_API_URL="http://127.0.0.1:9/api")

    assert api.get("/health").status_code == 200
    assert "next sync: none is scheduled. To schedule syncs, run: acsync deploy" in unscheduled
    assert "next sync: not known, because PREFECT_API_URL is not set" in alone
    assert "next sync: not known. Prefect's API at http://127.0.0.1:9/api" in away.stdout
    assert away.returncode == 0


def test_status_fails_when_the_last_success_is_too_old(copy_account: CopyAccount) -> None:
    """Monitors use this status. Data that was never published is too old as well."""
    assert copy_account("deals").success
    never = acsync("status", "--max-age", "30m")
    assert copy_account("contacts").success
    fresh = acsync("status", "--max-age", "30m")
    stale = acsync("status", "--max-age", "0s")
    nonsense = acsync("status", "--max-age", "soon")

    assert [run.returncode for run in (never, fresh, stale, nonsense)] == [1, 0, 1, 2]
    assert "The contacts were never published." in never.stderr
    assert "Traceback" not in never.stderr + stale.stderr + nonsense.stderr


@pytest.mark.usefixtures("served")
def test_a_failed_sync_is_one_paragraph_and_status_one(account: Account) -> None:
    """The paragraph says what happened, where, and what to do. There is no traceback."""
    account.faults.add(faults.forbidden())

    done = acsync("sync")

    assert done.returncode == 1
    assert "AC_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert account.options.api_key not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["sync"], {"AC_API_URL": "", "AC_API_KEY": ""}, ["AC_API_URL", "AC_API_KEY"]),
        (["sync", "--only", "leads"], {}, ["--only"]),
        (
            ["status"],
            {"POSTGRES_URL": "mysql://h/d", "ACSYNC_LOG_FORMAT": "yaml"},
            ["POSTGRES_URL", "ACSYNC_LOG_FORMAT"],
        ),
        (
            ["check"],
            {"AC_RATE_LIMIT": "fast", "ACSYNC_INCREMENTAL_INTERVAL": "1s"},
            ["AC_RATE_LIMIT", "ACSYNC_INCREMENTAL_INTERVAL"],
        ),
        (
            ["sync"],
            {"ACSYNC_MAX_SHRINK": "2", "ACSYNC_LOG_FORMAT": "yaml"},
            ["ACSYNC_MAX_SHRINK", "ACSYNC_LOG_FORMAT"],
        ),
        (
            ["serve"],
            {"ACSYNC_PRIVATE": "true", "CRON_SECRET": "", "ACSYNC_LOG_FORMAT": "yaml"},
            ["ACSYNC_PRIVATE", "ACSYNC_LOG_FORMAT"],
        ),
        (
            ["deploy"],
            {"ACSYNC_ALERT_URL": "zz", "ACSYNC_INTERVAL": "1s", "ACSYNC_LOG_FORMAT": "yaml"},
            ["ACSYNC_ALERT_URL is not a URL", "ACSYNC_INTERVAL", "ACSYNC_LOG_FORMAT"],
        ),
        (
            ["deploy"],
            {"ACSYNC_ALERT_URL": "zz://h", "ACSYNC_INTERVAL": "1s", "PREFECT_API_URL": ""},
            ["ACSYNC_ALERT_URL is neither", "ACSYNC_INTERVAL", "PREFECT_API_URL"],
        ),
        (["simulate"], {"ACSYNC_LOG_FORMAT": "yaml"}, ["ACSYNC_LOG_FORMAT"]),
        (["simulate", "--fault", "gremlins"], {}, ["gremlins"]),
        (["dance"], {}, ["dance"]),
    ],
)
def test_wrong_usage_and_settings_are_exit_status_two(
    words: list[str], environment: dict[str, str], said: list[str]
) -> None:
    """All problems are reported at once, each by name."""
    done = acsync(*words, **environment)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert [word for word in said if word not in done.stderr] == []


def test_the_version_is_shown() -> None:
    """Every bug report starts with this question. An image knows its commit by a variable."""
    done = acsync("--version", SOURCE_COMMIT="0123456789abcdef")

    assert (done.returncode, done.stdout) == (0, f"acsync {version('acsync')} (commit 012345678)\n")


def test_a_missing_database_is_reported_without_its_password() -> None:
    """The URL is a secret, but people need host and database."""
    place = f"127.0.0.1:{free_port()}/nowhere"

    done = acsync("status", POSTGRES_URL=f"postgresql://me:pa55word@{place}")

    assert done.returncode == 1
    assert f"Postgres at {place} cannot be reached" in done.stderr
    assert "pa55word" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_does_not_exist_names_createdb(empty_database: Database) -> None:
    """The server runs, so its state is not to blame."""
    url = empty_database.engine.url.set(database="nowhere")

    done = acsync("status", POSTGRES_URL=url.render_as_string(hide_password=False))

    assert done.returncode == 1
    assert "Create the database, for example with createdb" in done.stderr


def test_a_missing_schema_names_the_command_that_creates_it(
    empty_database: Database,
) -> None:
    """This is the first error of every new user."""
    url = empty_database.engine.url.render_as_string(hide_password=False)
    environment = {"POSTGRES_URL": url, "ACSYNC_SCHEMA": "client_a"}

    before = acsync("status", **environment)
    made = acsync("migrate", **environment)
    again = acsync("migrate", **environment)
    after = acsync("status", **environment)

    assert (before.returncode, made.returncode, again.returncode, after.returncode) == (1, 0, 0, 0)
    assert "acsync migrate" in before.stderr
    assert "up to date" in again.stdout
    printed = acsync("migrate", "--sql", **environment)
    assert (printed.returncode, printed.stdout) == (0, "")
    assert printed.stderr.startswith("Schema client_a is up to date at revision ")
    environment["POSTGRES_URL"] = f"postgresql://127.0.0.1:{free_port()}/nowhere"
    printed = acsync("migrate", "--sql", **environment)
    assert 'create view "client_a".ac_contacts' in printed.stdout
    assert "So this SQL creates everything in an empty schema." in printed.stderr


def test_a_terminal_shows_at_once_that_a_command_starts() -> None:
    """Loading Prefect takes seconds, in which the screen used to be empty."""
    reader, terminal = pty.openpty()
    environment = {**os.environ, "PREFECT_API_URL": ""}
    with subprocess.Popen([*ACSYNC, "deploy"], env=environment, stderr=terminal) as command:
        command.wait(60)

    first, second, *_ = os.read(reader, 4096).decode().splitlines()
    os.close(terminal)
    os.close(reader)
    assert first == "Starting acsync deploy …"
    assert "PREFECT_API_URL is not set" in second
    assert "Starting acsync" not in acsync("deploy", PREFECT_API_URL="").stderr


def test_a_misspelt_variable_is_named_by_migrate(database_url: str) -> None:
    """It changes nothing, so nobody would find out."""
    done = acsync("migrate", POSTGRES_URL=database_url, ACSYNC_SCHEMAS="crm")

    assert done.returncode == 0
    assert "acsync has no variable ACSYNC_SCHEMAS. Did you mean ACSYNC_SCHEMA?" in done.stderr


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder, and stop the demo's Postgres that keeps running in it."""
    yield tmp_path
    stop_embedded(tmp_path / "demo")


def run_cold(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with all its imports, of which some read HOME."""
    return wait(start_anew(*arguments, **environment))


def test_the_demo_shows_and_verifies_two_syncs(data_dir: Path, prefect_api: str) -> None:
    """Its output fits on a screen. The test pastes the commands that it ends with."""
    done = acsync(
        "demo",
        *("--contacts", "150", "--deals", "80", "--rate", "50"),
        ACSYNC_DATA_DIR=str(data_dir),
        PREFECT_API_URL=prefect_api,
        POSTGRES_URL="postgresql://not-for-the-demo/x",
        COLUMNS="80",
    )

    assert (done.returncode, done.stderr) == (0, "")
    # On a slow machine, the progress of the syncs has lines too.
    lines = re.sub(r"(?m)^\w+: [\d,]+ of [\d,]+ records\n", "", done.stdout).splitlines()
    assert len(lines) <= 32
    assert all(character.isprintable() for line in lines for character in line)
    assert "contacts: 150 records; 150 added, 0 updated, 0 deleted" in lines
    assert "contacts: 157 records; 12 added, 30 updated, 5 deleted" in lines
    assert "Verified, key by key: all 157 contacts and all 87 deals." in lines
    assert [len(line) <= 80 for line in lines if "@" in line] == [True] * 5
    assert set(quoted_lines()) <= set(map(hide_numbers, lines))
    status, psql, delete = (line.partition(": ")[2] for line in lines[-3:])
    assert "157 records" in paste(status)
    answer = paste(f'{psql} --no-psqlrc --tuples-only -c "select count(*) from ac_contacts_wide"')
    assert answer.strip() == "157"
    paste(delete)
    assert not (data_dir / "demo").exists()


def quoted_lines() -> list[str]:
    """Return the lines of the demo that README quotes, without their numbers."""
    (block,) = re.findall(r"^\$ make demo\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    return [hide_numbers(line) for line in block.splitlines() if line != "..."]


def hide_numbers(line: str) -> str:
    """Hide the numbers; an account as small as the test's has no masked deals."""
    return re.sub(r"\d[\d,]*", "N", line).replace(", N masked", "")


def paste(line: str) -> str:
    """Run a line as a user's shell would, and return its output."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_runs_in_a_new_home(tmp_path: Path) -> None:
    """The home is private and empty, the proxy is dead, and no Prefect server runs."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    share = home / "local" / "share"
    try:
        done = run_cold(
            "demo",
            *("--contacts", "30", "--deals", "20", "--rate", "50"),
            **dict.fromkeys(("ACSYNC_DATA_DIR", "PREFECT_API_URL"), ""),
            HOME=str(home),
            XDG_DATA_HOME=str(share),
            HTTP_PROXY=f"http://127.0.0.1:{free_port()}",
        )
    finally:
        stop_embedded(share / "acsync" / "demo")

    assert done.returncode == 0, done.stderr
    assert "Verified, key by key: all 39 contacts and all 30 deals." in done.stdout


def test_a_slow_prefect_server_ends_the_demo_in_one_sentence(data_dir: Path) -> None:
    """It used to be a traceback, and the server kept running."""
    home = data_dir / "home"

    done = run_cold(
        "demo",
        *("--contacts", "3", "--deals", "2"),
        ACSYNC_DATA_DIR=str(data_dir),
        HOME=str(home),
        PREFECT_API_URL="",
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="1",
    )

    assert done.returncode == 1
    _note, reason = done.stderr.splitlines()
    assert reason.startswith("Prefect's temporary server did not start within 1 s.")
    assert temporary_servers("HOME", home) == []


def test_simulate_refuses_a_port_that_is_taken() -> None:
    """It used to claim that it served, and then to print a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = acsync("simulate", "--contacts=1", f"--port={listener.getsockname()[1]}")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The simulated account cannot listen on 127.0.0.1, port ")
    assert done.stderr.endswith("use another port: acsync simulate --port 8001\n")


def test_simulate_serves_an_account_alone() -> None:
    """Other programs can use it, and people can try a fault by hand."""
    port = free_port()
    server = subprocess.Popen([*ACSYNC, "simulate", f"--port={port}"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert str(port).encode() in server.stdout.readline()
        url = f"http://127.0.0.1:{port}/api/3/users/me"
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
            answer = client.get(url, headers={"Api-Token": "simulated-key"})
    finally:
        server.terminate()
        server.wait()
        if server.stdout:
            server.stdout.close()

    assert answer.json()["user"]["id"] == "1"
