"""Secrets and values of fields stay in their places, and a forgotten person in none.

A canary is in every kind of field and secret. `docs/guarantees.md` lists the places searched.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from sqlalchemy import make_url

import migrations
from acsync.datasets import DATASETS
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database
from tests.support import canaries, faults
from tests.support.canaries import LIST, TAG, Canaries, Places, search
from tests.support.commands import SECRET, acsync, served
from tests.support.fixtures import CopyAccount
from tests.support.postgres import Postgres, own_postgres
from tests.support.syncs import fetch, run_incremental, run_sync

KEY = "k3y-0f-the-acc0unt-7a1b2c3d"
OLD_KEY = "0ld-k3y-9f8e7d6c"
PASSWORD = "pa55/w0rd@f-the#database"
SECRETS = (KEY, OLD_KEY, PASSWORD, quote(PASSWORD, safe=""), SECRET)

LOUD = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "acsync,httpx,httpcore,sqlalchemy,tenacity,alembic",
    "PREFECT_DEBUG_MODE": "true",
}
# Several commands in one process, because a new one takes seconds for its imports. SQLAlchemy sets
# its own logger to WARNING, whatever the setting of Prefect; at DEBUG it logs rows.
LOUD_ACSYNC = """
import json, logging, sqlalchemy, sys
logging.getLogger("sqlalchemy").setLevel(logging.INFO)
from acsync.cli import main
statuses = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["acsync", *command]
    try:
        main()
    except SystemExit as ended:
        statuses.append(ended.code)
print(f"statuses {statuses}")
"""
OPTIONS = AccountOptions(
    contacts=60, deals=90, api_key=KEY, rate_limit=None, latency_seconds=0.1, masked_share=0,
    contact_fields=13, deal_fields=11,
)  # fmt: skip

GOOD = ("sync", "sync --incremental", "verify --no-wait", "status --json", "migrate")
EXPORTS = (
    ("export", "contacts", "--format", "csv"),
    ("export", "deals", "--format", "jsonl"),
    ("export", "contacts", "--format", "xlsx", "--wide"),
    ("export", "deals", "--format", "csv", "--wide"),
)

STANDARD_CANARIES = (
    "contacts.firstName", "contacts.phone", "contacts.organization", "contacts.ip", "contacts.ua",
    "deals.description",
)  # fmt: skip

# Postgres quotes the whole row if it refuses one.
REFUSE = "alter table ac_deal_versions add check (title not like 'canary%') not valid"

pytestmark = pytest.mark.parametrize("options", [OPTIONS])


@pytest.fixture
def planted(account: Account) -> Canaries:
    """Put canaries into the account."""
    return canaries.plant(account)


def loud_acsync(*commands: str, **environment: str) -> str:
    """Run commands with all logs on, and return what they write."""
    done = subprocess.run(
        [sys.executable, "-c", LOUD_ACSYNC, json.dumps([command.split() for command in commands])],
        env={**os.environ, **LOUD, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.stdout + done.stderr


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


@pytest.fixture
def secret_url(
    served_account: Account,  # noqa: ARG001  # what is copied, by the environment
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Add a password to the database URL; the test server trusts everybody and ignores it."""
    url = make_url(database_url).set(drivername="postgresql", password=PASSWORD)
    monkeypatch.setenv("POSTGRES_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("CRON_SECRET", SECRET)


@pytest.mark.usefixtures("secret_url")
def test_no_secret_and_no_value_leaves_its_place(
    account: Account,
    database: Database,
    planted: Canaries,
    postgres: Postgres,
    prefect_api: str,
    tmp_path: Path,
) -> None:
    """Good and bad syncs and most commands run with debug logs."""
    loud = {"PREFECT_API_URL": prefect_api}
    samples = f"check --save-samples {tmp_path}/samples"
    with watched_processes() as command_lines:
        good = loud_acsync(*GOOD, samples, **loud)
        fetch(database, REFUSE)
        account.change("deals", planted.deals)
        refused = loud_acsync("sync", **loud)
        old = loud_acsync("sync", **loud, AC_API_KEY=OLD_KEY)
        account.faults.add(faults.redirect("http://127.0.0.1:9/api/3/"))
        redirected = loud_acsync("sync --only contacts", **loud)
    # The logs are read at once, because the service stops when the pipe is full.
    with served(**LOUD) as (client, process), ThreadPoolExecutor() as threads:
        output = threads.submit(process.communicate, 600)
        pages = canaries.web_places(client)
        process.terminate()
        service = "".join(output.result(60))
    log = str(fetch(database, "select to_jsonb(row) from ac_sync_logs as row"))
    texts = {
        "good syncs": good,
        "refused sync": refused,
        "sync with an old key": old,
        "redirected sync": redirected,
        "acsync serve": service,
        "ac_sync_logs": log,
        "command lines": "\n".join(command_lines),
    }
    outside: Places = {
        **{place: text.encode() for place, text in texts.items()},
        **canaries.prefect_places(),
        **canaries.file_places(tmp_path),
        **pages,
    }
    inside = {
        **canaries.database_places(database),
        **canaries.data_places(database, postgres.data_dir),
    }

    assert re.findall(r"statuses .*", good) == [f"statuses {[0] * (len(GOOD) + 1)}"]
    assert all("statuses [1]" in text for text in (refused, old, redirected))
    assert "httpcore" in good
    assert "sqlalchemy.engine" in good
    assert "redirect" in log
    assert "check constraint" in log
    assert any("cli import main" in line for line in command_lines)
    assert search(outside | inside, SECRETS) == {}
    assert search(outside, planted.values) == {}
    assert set(search(inside, planted.values)["pg_dump"]) == planted.values


def hide_everything(planted: Canaries) -> dict[str, str]:
    """Return rules that leave out or hash every canary but the names of lists."""
    fields = [
        f"{name}.customFields.{field.id}" for name in DATASETS for field in planted.fields[name]
    ]
    excluded = [*STANDARD_CANARIES, *fields[::2], "contacts.tags", "contacts.unsubreason"]
    hashed = ["contacts.email", "contacts.lastName", "deals.title", *fields[1::2]]
    return {
        "ACSYNC_EXCLUDE": ",".join(excluded),
        "ACSYNC_HASH": ",".join(hashed),
        "ACSYNC_HASH_KEY": "a key for these canaries",
    }


@pytest.fixture
def history(
    account: Account, copy_account: CopyAccount, database: Database, planted: Canaries
) -> Places:
    """Copy the canaries and their change, and return what the database then has."""
    copy_account()
    account.change("contacts", [planted.contact])
    account.change("deals", planted.deals)
    copy_account()
    analyze_staging(database)
    fetch(database, "analyze")
    return canaries.database_places(database)


@pytest.fixture
def copy_again(
    account: Account,
    copy_account: CopyAccount,
    database: Database,
    planted: Canaries,
    postgres: Postgres,
    tmp_path: Path,
) -> Callable[[], Places]:
    """Return a function that syncs, exports and serves, and returns every place."""

    def run() -> Places:
        copy_account()
        run_incremental(read_settings())
        account.mask(planted.deals)
        copy_account()
        for number, command in enumerate(EXPORTS):
            assert acsync(*command, "--output", f"{tmp_path}/{number}.{command[3]}").returncode == 0
        with served() as (client, _):
            pages = canaries.web_places(client)
        canaries.rewrite(database)
        data = canaries.data_places(database, postgres.data_dir)
        return canaries.database_places(database) | canaries.file_places(tmp_path) | pages | data

    return run


def test_values_that_rules_hide_remain_nowhere(
    copy_again: Callable[[], Places],
    database: Database,
    history: Places,
    planted: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither what was kept before the rules nor what later syncs read."""
    hidden = planted.values - {LIST}
    for name, value in hide_everything(planted).items():
        monkeypatch.setenv(name, value)
    done = acsync("migrate", "--apply-privacy")
    right_after = search(canaries.database_places(database), hidden)
    places = copy_again()

    assert set(search(history, hidden)["pg_dump"]) == hidden
    assert done.returncode == 0, done.stderr
    assert right_after == {}
    assert search(places, hidden) == {}
    assert LIST in search(places, {LIST})["pg_dump"]


def test_no_wal_holds_a_value_that_rules_hide(
    account: Account, planted: Canaries, tmp_path: Path
) -> None:
    """From the first sync on. Without the rules, a copy writes every value there."""
    hidden = planted.values - {LIST}
    with own_postgres(tmp_path) as postgres_url, serve(account) as url:

        def copy(schema: str, **rules: str) -> Places:
            settings = read_settings(
                AC_API_URL=url, AC_API_KEY=KEY, AC_RATE_LIMIT=1000, POSTGRES_URL=postgres_url,
                ACSYNC_SCHEMA=schema, **rules,
            )  # fmt: skip
            with closing(open_database(settings)) as database:
                migrations.upgrade(database)
                canaries.forbid_compression(database)
            assert run_sync(settings).success
            account.change("contacts", [planted.contact])
            account.change("deals", planted.deals)
            assert run_incremental(settings).success
            return canaries.wal_places(tmp_path)

        with_rules = copy("hidden", **hide_everything(planted))
        without = copy("plain")

    assert set(search(with_rules, planted.values)["WAL"]) == {LIST}
    assert set(search(without, hidden)["WAL"]) == hidden


def analyze_staging(database: Database) -> None:
    """Take statistics of staging as autovacuum does during a sync; Postgres keeps them."""
    for name in ("contact", "deal"):
        staged, versions = f"ac_staged_{name}s", f"ac_{name}_versions"
        fetch(
            database,
            f"insert into {staged} (sync_no, slice_no, record_id, hash, record) "
            f"select 0, 0, record_id, hash, record from {versions};"
            f"analyze {staged}; truncate {staged}",
        )


def test_nothing_of_a_forgotten_person_remains(
    copy_again: Callable[[], Places], database: Database, history: Places, planted: Canaries
) -> None:
    """Not in the history, the planner's statistics, exports, pages, nor after later syncs."""
    before = search(history, planted.of_person)
    done = acsync("forget", "contact", str(planted.contact), "--yes")
    right_after = search(canaries.database_places(database), planted.of_person)
    places = copy_again()

    assert set(before["pg_dump"]) == planted.of_person
    assert "canary-email@person.example" in before["pg_stats"]
    assert done.returncode == 0, done.stderr
    assert right_after == {}
    assert search(places, planted.of_person) == {}
    assert TAG in search(places, {TAG})["2.xlsx: xl/worksheets/sheet1.xml"]
