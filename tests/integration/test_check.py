"""`acsync check` finds what would break a sync, names the remedy, and changes nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    temporary_settings,
)
from rich.console import Console

from acsync.cli.check import run_check
from acsync.errors import AcsyncError, SettingsError
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault
from acsync.simulator.server import serve
from acsync.store.database import REVISION_TABLE, Database
from acsync.store.inspection import TABLES
from acsync.store.lease import keep_lease, start_sync
from flows.deployment import WORK_POOL, deploy
from tests.support import faults
from tests.support.calls import most_calls_in_a_second, on_path
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount
from tests.support.postgres import Postgres, execute, url_of
from tests.support.prefect_server import free_port, prefect_server

Row: TypeAlias = tuple[str, str, str]

# Their total still counts them.
NO_ROWS = faults.body_fault(
    "no-rows", lambda _, body: body.update({key: [] for key in body if key != "meta"})
)

KEY = "k3y-0f-the-acc0unt-7a1b2c3d"
PASSWORD = "pa55word"


@pytest.fixture
def options() -> AccountOptions:
    """Use few records, so that all checks take a second, but more than the sampled pages hold."""
    return AccountOptions(
        contacts=70, deals=60, api_key=KEY, rate_limit=None, masked_share=0, users=2
    )


@dataclass
class Checked:
    """The output of one check, and the error that ended it."""

    output: str
    error: AcsyncError | None
    rows: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.output.splitlines():
            if line.startswith("│"):
                name, *row = (cell.strip() for cell in line.strip("│").split("│"))
                self.rows[name] = (row[0], row[1], row[2] if row[2:] else "")

    def not_ok(self) -> dict[str, str]:
        """Return the checks that found something, without those of Prefect."""
        return {
            name: row[0]
            for name, row in self.rows.items()
            if row[0] not in ("ok", "unknown") and name not in ("Prefect API", *PREFECT_CHECKS)
        }


PREFECT_CHECKS = (
    "deployment", "worker", "acsync: sync failed", "acsync: data is stale",
    "acsync: run is lost", "acsync: run is lost before its start", "alerts",
)  # fmt: skip
Check: TypeAlias = Callable[..., Checked]


@pytest.fixture
def check(
    account: Account, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Check]:
    """Serve the account and return the command; keyword arguments change its environment."""
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    with serve(account) as url:
        environment = {
            "AC_API_URL": url,
            "AC_API_KEY": account.options.api_key,
            "AC_RATE_LIMIT": "100",
            "LIMIT_PER_PAGE": "20",
            "POSTGRES_URL": database_url,
            "ACSYNC_DATA_DIR": str(tmp_path),
        }

        def run(width: int = 600, **changes: str) -> Checked:
            for name, value in {**environment, **changes}.items():
                monkeypatch.setenv(name, value)
            output = StringIO()
            console = Console(file=output, width=width, markup=False, emoji=False, highlight=False)
            try:
                run_check(console, read_settings())
            except SettingsError:
                raise
            except AcsyncError as error:
                return Checked(output.getvalue(), error)
            return Checked(output.getvalue(), None)

        yield run


def everything_in(database: Database) -> dict[str, list[str]]:
    """Return every row of every table as text."""
    sql = "select tablename from pg_tables where schemaname = 'public'"
    with database.begin() as connection:
        names = connection.exec_driver_sql(sql).scalars().all()
        return {
            name: [
                str(row) for row in connection.exec_driver_sql(f"select {name}::text from {name}")
            ]
            for name in names
        }


def runs_in_prefect() -> int:
    with get_client(sync_client=True) as client:
        return len(client.read_flow_runs(limit=200))


# All is well


def test_a_healthy_account_has_no_problem_and_nothing_is_written(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    prefect_api: str,
) -> None:
    """Nothing is deployed, yet the status after a sync is 0, and every call is a GET."""
    assert copy_account().success
    tables, runs = everything_in(database), runs_in_prefect()
    calls = account.statistics.calls

    done = acsync("check", PREFECT_API_URL=prefect_api, COLUMNS="400")

    checked = Checked(done.stdout, None)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert {name: row[0] for name, row in checked.rows.items() if name not in PREFECT_CHECKS} == (
        dict.fromkeys(
            [
                *("Postgres", "schema", "rights", "other roles", "URL and key"),
                *(
                    "/fields",
                    "/lists",
                    "/dealCustomFieldMeta",
                    "/dealGroups",
                    "/dealStages",
                    "/users",
                ),
                *("/contacts", "contacts: custom fields", "contacts: order", "contacts: total"),
                *("contacts: by date", "/deals", "deals: custom fields", "deals: masked"),
                *("deals: order", "deals: total", "deals: by date", "hidden pipelines"),
                *("currencies", "time zone", "clock", "rate limit", "Prefect API"),
            ],
            "ok",
        )
    )
    assert checked.rows["/contacts"] == ("ok", "70 contacts.", "")
    assert checked.rows["deals: masked"][1].startswith("0 of 59 sampled records")
    assert KEY not in done.stdout
    # The account answers any other method with a 404.
    assert {call.status for call in account.statistics.log} == {200}
    assert account.statistics.calls - calls == 20
    assert (everything_in(database), runs_in_prefect()) == (tables, runs)


def test_the_tables_that_are_checked_are_all_there_are(database: Database) -> None:
    """A table added later must be checked as well."""
    sql = "select tablename from pg_tables where schemaname = 'public'"
    with database.begin() as connection:
        tables = connection.exec_driver_sql(sql).scalars().all()

    assert sorted(tables) == sorted([*TABLES, REVISION_TABLE])


def test_missing_settings_are_exit_status_two() -> None:
    """As in every command, settings are read before anything is called."""
    done = acsync("check", AC_API_URL="", AC_API_KEY="")

    assert (done.returncode, done.stdout) == (2, "")
    assert "AC_API_URL" in done.stderr
    assert "AC_API_KEY" in done.stderr


# The account


@pytest.mark.parametrize(
    ("fault", "not_ok", "row"),
    [
        pytest.param(
            faults.forbidden().only(on_path("dealGroups")),
            {"/dealGroups": "problem"},
            ("/dealGroups", "status 403", "see the pipelines"),
            id="a listing refused",
        ),
        pytest.param(
            faults.status(403).only(on_path("deals")),
            {"/deals": "problem"},
            ("/deals", "Simulated status 403", "see the deals"),
            id="a dataset refused",
        ),
        pytest.param(
            faults.mask_all().only(on_path("deals")),
            {"deals: masked": "warning"},
            ("deals: masked", "59 of 59 sampled", "every pipeline"),
            id="masked deals",
        ),
        pytest.param(
            faults.ignore_parameter("include"),
            {"/contacts": "problem", "/deals": "problem"},
            ("/deals", "ignores include", ""),
            id="include ignored",
        ),
        pytest.param(
            faults.ignore_parameter("orders"),
            {"/contacts": "problem", "/deals": "problem"},
            ("/deals", "ignores orders[id]", ""),
            id="orders ignored",
        ),
        pytest.param(
            faults.ignore_parameter("id_greater").only(on_path("contacts")),
            {"/contacts": "problem"},
            ("/contacts", "ignores id_greater", ""),
            id="id_greater ignored",
        ),
        pytest.param(
            faults.fields_vanish(),
            {"contacts: custom fields": "warning", "deals: custom fields": "warning"},
            ("contacts: custom fields", "0 values came with 60 sampled", "AC_API_KEY see them"),
            id="no custom field values",
        ),
        pytest.param(
            faults.empty_dataset().only(on_path("deals")),
            {"/deals": "warning"},
            ("/deals", "There are no deals.", "If the account has deals"),
            id="an empty dataset",
        ),
        pytest.param(
            NO_ROWS.only(on_path("fields")),
            {"/fields": "problem"},
            ("/fields", "counts 8", ""),
            id="fields that are counted but not listed",
        ),
        pytest.param(
            faults.without_meta().only(on_path("deals")),
            {"/deals": "warning"},
            ("/deals", "no total", "support"),
            id="no total",
        ),
        pytest.param(
            faults.page_cap(10).only(on_path("contacts")),
            {"/contacts": "warning"},
            ("/contacts", "A page has 10 of the 20", "LIMIT_PER_PAGE=10"),
            id="short pages",
        ),
    ],
)  # fmt: skip
def test_each_fault_of_the_account_is_found(
    check: Check,
    account: Account,
    fault: Fault,
    not_ok: dict[str, str],
    row: Row,
) -> None:
    """A fault is one or two results with a remedy, and all other checks still run."""
    name, seen, remedy = row
    account.faults.add(fault)

    checked = check()

    assert checked.not_ok() == not_ok, checked.output
    assert seen in checked.rows[name][1]
    assert remedy in checked.rows[name][2]
    assert all(checked.rows[name][2] for name in not_ok)
    assert (checked.error is not None) == ("problem" in not_ok.values())
    assert "rate limit" in checked.rows


def test_a_wrong_key_is_one_result_and_is_not_shown(check: Check, account: Account) -> None:
    """Every path would answer the same, so two calls are enough."""
    checked = check(AC_API_KEY="an0ther-k3y")

    assert checked.not_ok() == {"URL and key": "problem"}
    assert "AC_API_KEY" in checked.rows["URL and key"][2]
    assert "/contacts" not in checked.rows
    assert [call.status for call in account.statistics.log] == [403] * 2
    assert "an0ther-k3y" not in f"{checked.output} {checked.error}"
    assert str(checked.error).startswith("1 of ")


def test_a_missing_account_hides_no_other_result(check: Check) -> None:
    checked = check(AC_API_URL=f"http://127.0.0.1:{free_port()}")

    assert checked.not_ok() == {"URL and key": "problem"}
    assert "ConnectError" in checked.rows["URL and key"][1]
    assert checked.rows["rights"][0] == "ok"


def test_names_from_the_account_cannot_control_the_terminal(check: Check, account: Account) -> None:
    """A user of the account must not write to the screen of an operator."""
    account.metadata.listings["users"][0]["username"] = "\x1b[2J[red]admin\n│ rights"

    checked = check()

    assert "\x1b" not in checked.output
    assert "[2J[red]admin │ rights." in checked.output


# The pace


@pytest.mark.parametrize("options", [AccountOptions(contacts=9, deals=9, rate_limit=5)])
def test_refused_calls_are_a_warning(check: Check, account: Account) -> None:
    """The check makes no extra calls to find the limit.

    Its own calls show that it is much lower.
    """
    checked = check(AC_RATE_LIMIT="20")

    status, seen, remedy = checked.rows["rate limit"]
    assert (status, checked.error) == ("warning", None), checked.output
    assert f"{account.statistics.refused} of the " in seen
    assert "AC_RATE_LIMIT=5," in remedy


def test_the_learned_rate_is_shown(check: Check, database: Database) -> None:
    """A sync of some minutes knows more than the few calls of a check."""
    execute(
        database,
        "insert into ac_sync_logs (sync_id, timestamp, finished_at, api_calls, pace) "
        "values ('sync-1', now(), now(), 1600, '[4.75, [[6, 60]], 0.01]')",
    )

    checked = check()

    assert checked.not_ok() == {"rate limit": "warning"}
    assert "about 4.8 calls" in checked.rows["rate limit"][1]
    assert "AC_RATE_LIMIT=4.8," in checked.rows["rate limit"][2]


@pytest.mark.parametrize("options", [AccountOptions(contacts=9, deals=9, rate_limit=10)])
def test_another_interval_than_the_one_in_force_is_a_warning(check: Check) -> None:
    """The shells of two people may differ, and the database decides when data is stale."""
    assert check(ACSYNC_INTERVAL="6h").rows["interval"] == (
        "warning",
        "A full sync every 15 minutes is in force. ACSYNC_INTERVAL is 6 hours here.",
        "Run acsync deploy to put it in force, or unset ACSYNC_INTERVAL here.",
    )


def test_a_running_sync_is_left_its_calls(
    check: Check, account: Account, database: Database
) -> None:
    """The check makes at most two calls per second during a sync."""
    running = start_sync(database, "flow run brave-otter on host-a", None)
    with keep_lease(database, running):
        checked = check()

    assert checked.not_ok() == {}, checked.output
    assert running.sync_id in checked.rows["rate limit"][1]
    assert most_calls_in_a_second(account.statistics) <= 3  # one can arrive late


# Postgres


def test_a_missing_postgres_is_reported_without_its_password(check: Check) -> None:
    """The account is still checked."""
    place = f"127.0.0.1:{free_port()}/nowhere"

    checked = check(POSTGRES_URL=f"postgresql://me:{PASSWORD}@{place}")

    assert checked.not_ok() == {"Postgres": "problem"}
    assert f"{place} cannot be reached" in checked.rows["Postgres"][1]
    assert checked.rows["Postgres"][2].startswith("Check POSTGRES_URL")
    assert checked.rows["/contacts"][0] == "ok"
    assert PASSWORD not in f"{checked.output} {checked.error}"


def test_an_embedded_postgres_is_not_made(check: Check, tmp_path: Path) -> None:
    """A check changes nothing, so it leaves no server running."""
    checked = check(POSTGRES_URL="")

    assert checked.not_ok() == {"Postgres": "problem"}
    assert checked.rows["Postgres"][2].endswith("start the embedded one with: acsync migrate")
    assert list(tmp_path.iterdir()) == []


def test_an_embedded_postgres_that_is_there_is_used(check: Check, postgres: Postgres) -> None:
    """This is the server of the test run, and its own database has no tables."""
    checked = check(POSTGRES_URL="", ACSYNC_DATA_DIR=str(postgres.data_dir))

    assert checked.not_ok() == {"schema": "problem"}
    assert checked.rows["Postgres"][0] == "ok"


@pytest.mark.parametrize("schema", ["public", "not_made_yet"])
def test_a_schema_without_tables_is_sent_to_migrate(
    check: Check, empty_database: Database, schema: str
) -> None:
    url = empty_database.engine.url.render_as_string(hide_password=False)

    checked = check(POSTGRES_URL=url, ACSYNC_SCHEMA=schema)

    assert checked.not_ok() == {"schema": "problem"}
    assert checked.rows["schema"][2] == "Run: acsync migrate"
    assert "rights" not in checked.rows


@pytest.fixture
def role(postgres: Postgres) -> str:
    """Create a role without rights; it goes with the server of this run."""
    name = f"checked_{len(postgres.made)}"
    postgres.execute(f"create role {name} login")
    return name


@pytest.mark.parametrize(
    ("lost", "name", "seen"),
    [
        ("revoke all on all tables in schema public from {role}", "schema", "ac_schema_revision"),
        (
            "revoke truncate on ac_staged_plans from {role}; revoke insert, delete on ac_lease "
            "from {role}",
            "rights",
            "{role} lacks these rights: delete, insert on ac_lease; truncate on ac_staged_plans.",
        ),
        (
            "revoke execute on function ac_update_wide_view from {role}",
            "rights",
            "{role} lacks these rights: execute on function ac_update_wide_view.",
        ),
        ("revoke all on schema public from public, {role}", "schema", "no right to use the schema"),
    ],
)
def test_the_remedy_restores_a_missing_right(
    check: Check, database: Database, role: str, lost: str, name: str, seen: str
) -> None:
    """The test runs the statements of the remedy unchanged."""
    rights = "grant select, insert, update, delete, truncate on all tables in schema public"
    function = "grant execute on function ac_update_wide_view"
    execute(database, f"{rights} to {role}; {function} to {role}; {lost.format(role=role)}")

    before = check(POSTGRES_URL=url_of(database, role))
    execute(database, before.rows[name][2].removeprefix("As the owner: "))
    after = check(POSTGRES_URL=url_of(database, role))

    assert before.not_ok() == {name: "problem"}
    assert seen.format(role=role) in before.rows[name][1]
    assert (after.not_ok(), after.error) == ({}, None)


def test_a_role_that_cannot_migrate_is_told_so(
    check: Check, empty_database: Database, role: str
) -> None:
    checked = check(POSTGRES_URL=url_of(empty_database, role))

    assert checked.not_ok() == {"schema": "problem"}
    assert checked.rows["schema"][2] == (
        f"Run: acsync migrate, as a role that may create tables here. {role} lacks that right."
    )


def test_a_database_that_takes_no_writes_is_a_problem(check: Check, database: Database) -> None:
    """A standby takes none, nor does a host with a full disk."""
    name = database.engine.url.database
    execute(database, f"alter database {name} set default_transaction_read_only = on")

    checked = check()

    assert checked.not_ok() == {"Postgres": "problem"}
    assert "is read-only" in checked.rows["Postgres"][1]


def test_a_schema_of_another_account_is_a_problem(check: Check, database: Database) -> None:
    """A sync would refuse it."""
    execute(database, "insert into ac_account (host) values ('old.api-us1.com')")

    checked = check()

    assert checked.not_ok() == {"account": "problem"}
    assert "holds the records of old.api-us1.com" in checked.rows["account"][1]


def test_an_account_that_lost_most_records_is_a_problem(
    copy_account: CopyAccount, check: Check, account: Account
) -> None:
    """The key's user probably lost a right. A sync would refuse to publish the loss."""
    assert copy_account().success
    account.delete("contacts", 60)

    checked = check()

    assert checked.not_ok() == {"/contacts": "problem"}
    assert checked.rows["/contacts"][1].startswith("10 contacts; a sync publishes no fewer than 56")
    assert checked.rows["/contacts"][2].endswith("acsync sync --only contacts --accept-shrink")


# Prefect


@pytest.mark.usefixtures("api")
def test_what_acsync_deploy_sets_up_is_looked_for(check: Check) -> None:
    """Nothing is there, then a deployment, then a worker, then somebody switches things off."""
    with get_client(sync_client=True) as client:
        nothing = prefect_rows(check())
        list(deploy(None, "http://127.0.0.1:9/hook"))
        deployed = prefect_rows(check())
        client.send_worker_heartbeat(WORK_POOL, "worker-1", heartbeat_interval_seconds=60)
        running = prefect_rows(check())
        deployment = client.read_deployment_by_name("sync-activecampaign/every-15-minutes")
        client.pause_deployment(deployment.id)
        for automation in client.read_automations():
            client.pause_automation(automation.id)
        paused = prefect_rows(check())

    assert nothing == dict.fromkeys(PREFECT_CHECKS, "warning")
    assert deployed == {**dict.fromkeys(PREFECT_CHECKS, "ok"), "worker": "warning"}
    assert running == dict.fromkeys(PREFECT_CHECKS, "ok")
    assert paused == {
        **dict.fromkeys(PREFECT_CHECKS[:-1], "warning"),
        "worker": "ok",
        "alerts": "ok",
    }


@pytest.mark.usefixtures("api")
def test_an_open_api_that_holds_secrets_is_warned_of(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning stays until the server asks for a password, even if the caller has none."""
    nothing_to_steal = check().rows["Prefect API"]
    list(deploy(None, "http://127.0.0.1:9/hook"))
    open_to_all = check().rows["Prefect API"]
    home, password = tmp_path / "prefect", "acsync:passw0rd"
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", password)
    settings = {PREFECT_HOME: home, PREFECT_API_AUTH_STRING: password}
    with prefect_server(home) as url, temporary_settings({PREFECT_API_URL: url, **settings}):
        list(deploy(None, "http://127.0.0.1:9/hook"))
        closed = check().rows["Prefect API"]

    assert (nothing_to_steal[0], open_to_all[0], closed[0]) == ("ok", "warning", "ok")
    assert "needs no password, and stores acsync-alerts." in open_to_all[1]
    assert "PREFECT_SERVER_API_AUTH_STRING" in open_to_all[2]


def prefect_rows(checked: Checked) -> dict[str, str]:
    """Return the results of the Prefect checks; each has a remedy, and none is a problem."""
    assert checked.error is None, checked.output
    rows = {name: checked.rows[name] for name in PREFECT_CHECKS}
    assert [bool(row[2]) for row in rows.values()] == [row[0] != "ok" for row in rows.values()]
    return {name: row[0] for name, row in rows.items()}


def test_without_a_prefect_api_no_server_is_started(check: Check) -> None:
    """Prefect's client would start a temporary server."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        children = psutil.Process().children(recursive=True)
        checked = check()
        assert psutil.Process().children(recursive=True) == children

    assert checked.rows["Prefect API"][0] == "warning"
    assert "acsync deploy" in checked.rows["Prefect API"][2]
    assert checked.error is None


def test_a_prefect_api_that_does_not_answer_is_a_problem(check: Check) -> None:
    """A sync is a flow run, so it could not even start."""
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        checked = check()

    assert checked.rows["Prefect API"][0] == "problem"
    assert "PREFECT_API_URL" in checked.rows["Prefect API"][2]
    assert str(checked.error).startswith("1 of ")


@contextmanager
def nonsense() -> Iterator[str]:
    """Answer as if there were no block, and then with an empty object."""

    class Nonsense(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_words: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_another_server_in_place_of_prefect_is_a_problem(check: Check) -> None:
    """It answers at Prefect's address, but not in Prefect's format."""
    with nonsense() as url, temporary_settings({PREFECT_API_URL: url}):
        checked = check()

    assert checked.rows["Prefect API"] == (
        "problem",
        f"Prefect's API at {url} does not answer as Prefect does (ValidationError).",
        "Check PREFECT_API_URL: the URL of a server ends with /api.",
    )
    assert checked.not_ok() == {}


# The table


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_reads_well_at_any_width(check: Check, account: Account, width: int) -> None:
    """No line is wider than the screen, no text is cut off, and each remedy is in the table."""
    account.faults.add(faults.forbidden().only(on_path("dealGroups")))

    checked = check(width)

    lines = checked.output.splitlines()
    table = [line for line in lines if line.startswith(tuple("┏┃┡│└"))]
    cells = " ".join(line.replace("│", " ").replace("┃", " ") for line in table)
    assert {len(line) for line in table} <= set(range(60, width + 1))
    assert "…" not in cells
    assert "admin." in cells.split()
    assert ("what to do" in cells) == (width == 200)
    assert str(checked.error).startswith("1 of ")
