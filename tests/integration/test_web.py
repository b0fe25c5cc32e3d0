"""The HTTP service, asked over a socket, with a real Postgres and a real Prefect server."""

import base64
import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_HOME
from prometheus_client.parser import text_string_to_metric_families

from acsync.local.embedded_postgres import start_embedded, stop_embedded
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from acsync.sync.context import STOPPED
from tests.support import faults
from tests.support.calls import in_copying, on_call
from tests.support.commands import (
    BEARER,
    PATIENCE_SECONDS,
    SECRET,
    acsync,
    served,
    start,
    wait,
    wait_for,
)
from tests.support.fixtures import CopyAccount
from tests.support.postgres import own_postgres
from tests.support.prefect_server import deploy, prefect_worker
from tests.support.syncs import EXPIRE, fetch, run_incremental

TRIGGER = "/api/sync-activecampaign"
DEPLOYED = "/deployments/name/sync-activecampaign/every-15-minutes"
PAGES = (
    "/",
    "/live",
    "/queries",
    "/data",
    "/openapi.json",
    "/api/sync-status",
    "/metrics",
    "/badge.svg",
)


@pytest.fixture
def service(
    served_account: Account,  # noqa: ARG001  # the environment
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[httpx.Client]:
    """Serve the account's status without a Prefect API."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    with served() as (client, _):
        yield client


def test_the_status_is_what_the_command_prints(
    service: httpx.Client, copy_account: CopyAccount
) -> None:
    """Before the first sync and after it."""
    for _ in range(2):
        answer = service.get("/api/sync-status")
        printed = acsync("status", "--json").stdout

        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == json.loads(printed)
        copy_account()


def test_every_page_answers_before_the_first_sync(service: httpx.Client) -> None:
    """People open the dashboard first."""
    assert {path: service.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)
    page = service.get("/").text
    assert all(text in page for text in ("No sync yet", "acsync check", "So far: 0."))
    assert service.get("/healthz").json() == {
        "error": "The contacts were never published. The deals were never published."
    }
    assert service.head("/healthz").status_code == 503


@pytest.mark.parametrize(
    ("age", "verdict", "colour", "healthy"),
    [
        ("29 minutes", "Fresh", "#146c37", 200),
        ("31 minutes", "Late", "#8a5200", 200),
        ("46 minutes", "Stale", "#b3261e", 503),
    ],
)
def test_the_verdict_is_of_the_published_data(
    service: httpx.Client,
    copy_account: CopyAccount,
    database: Database,
    *,
    age: str,
    verdict: str,
    colour: str,
    healthy: int,
) -> None:
    """Fresh within two intervals, late within three. The oldest dataset decides."""
    copy_account()
    fetch(
        database,
        f"update ac_published set read_from = read_from - interval '{age}' "
        "where data_type = 'deals'",
    )

    badge = service.get("/badge.svg")
    assert re.search(rf"</span> {verdict}</h2>", service.get("/live").text)
    assert colour in badge.text
    assert re.search(r"synced \d\d min ago</text>", badge.text)
    assert service.get("/healthz").status_code == healthy


def test_staleness_counts_intervals_since_the_last_full_sync(
    service: httpx.Client, copy_account: CopyAccount, database: Database
) -> None:
    """Later reads of changes alone must not hide that full syncs fail."""
    copy_account()
    fetch(database, "update ac_published set read_from = read_from - interval '46 min'")
    fetch(database, "update ac_schedule set sync_interval = interval '1 hour'")

    assert service.get("/healthz").status_code == 200
    assert fetch(database, "select distinct is_fresh from ac_freshness") == [(True,)]
    assert re.search(r"acsync_interval_seconds{.*} 3600.0\n", service.get("/metrics").text)
    assert acsync("migrate", ACSYNC_INTERVAL="15m").returncode == 0
    assert fetch(database, "select distinct is_fresh from ac_freshness") == [(False,)]

    fetch(database, "update ac_published set read_from = now()")
    fetch(database, "update ac_sync_logs set timestamp = timestamp - interval '46 min'")
    status = service.get("/api/sync-status").json()
    assert fetch(database, "select distinct is_fresh from ac_freshness") == [(False,)]
    assert service.get("/healthz").json()["error"].startswith("Contacts: changes as of ")
    assert "ago; proven complete 46 min ago. 700 records." in service.get("/live").text
    assert ", proven complete 46 min ago" in (text := acsync("status").stdout)
    assert text.splitlines()[1].endswith(" UTC), stale")
    assert status["intervalSeconds"] == 900
    assert status["latestData"]["deals"]["readFrom"] > status["latestData"]["deals"]["verifiedAt"]
    assert acsync("status", "--max-age", "30m").returncode == 1


def test_fresh_data_after_a_failed_sync_is_a_verdict_of_its_own(
    service: httpx.Client, copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """The data is right, but somebody has to act before it is late."""
    copy_account()
    fetch(database, "update ac_sync_logs set contacts_warnings = array['the rest is kept']")
    warned = service.get("/live").text
    served_account.faults.add(faults.forbidden())
    copy_account()
    page = wait_for(
        "the page", lambda: (text := service.get("/").text) and "What went wrong" in text and text
    )
    badge = service.get("/badge.svg").text

    assert "<li>The rest is kept.</li>" in warned
    assert "</span> Fresh, but the last sync failed</h2>" in page
    assert "<title>acsync: fresh, but the last sync failed, " in page
    assert re.search(r"#8a5200.*synced \d+ (s|min) ago, last sync failed</text>", badge, re.DOTALL)
    assert service.get("/healthz").status_code == 200


def test_incremental_syncs_tell_what_they_saw_and_why_they_fail(
    service: httpx.Client, copy_account: CopyAccount, served_account: Account
) -> None:
    """A revoked key shows before the next full sync; the copy is still healthy."""
    copy_account()
    served_account.change("contacts", 3)
    run_incremental(read_settings())
    copy_account()
    saw = service.get("/live").text
    served_account.faults.add(faults.forbidden())
    run_incremental(read_settings())
    page = wait_for(
        "the page", lambda: "did not update" in (text := service.get("/live").text) and text
    )
    status, text = service.get("/api/sync-status").json(), acsync("status", "--max-age", "30m")
    served_account.faults.clear()
    copy_account()
    after = acsync("status").stdout

    failed = "he last incremental sync did not update contacts and deals: "
    assert (
        "<li>Contacts: incremental syncs saw 3 of 3 changes since the last full sync.</li>" in saw
    )
    assert failed not in saw
    assert f"<li>T{failed}" in page
    assert f"warning: t{failed}" in text.stdout
    assert [warning for warning in status["warnings"] if failed in warning and "403" in warning]
    assert text.returncode == 0
    assert service.get("/healthz").status_code == 200
    assert failed not in after


@pytest.mark.parametrize("path", ["/healthz/", "/metrics/", "/static", "/api/sync-status/"])
def test_no_path_redirects_to_the_host_of_the_request(service: httpx.Client, path: str) -> None:
    """Otherwise a caller could choose the target by the Host header."""
    answer = service.get(path, headers={"host": "evil.example"})

    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "There is nothing at this address. See /openapi.json for all addresses."},
    )


# The trigger


def test_the_trigger_runs_the_deployment_and_answers_when_it_ends(
    served_account: Account, api: httpx.Client, tmp_path: Path, database: Database
) -> None:
    """During a run, it answers 409 with the id. Hanging up stops nothing."""
    deploy()
    # No scheduled sync at the same time.
    api.post(f"/deployments/{api.get(DEPLOYED).json()['id']}/pause_deployment").raise_for_status()
    freed = threading.Event()
    on_call(served_account, in_copying, lambda: freed.wait(PATIENCE_SECONDS))
    with served(PREFECT_API_URL=str(api.base_url)) as (service, _):
        with prefect_worker(tmp_path, str(api.base_url), "--type", "process"):
            with pytest.raises(httpx.ReadTimeout):
                service.post(TRIGGER, headers=BEARER, timeout=2)
            running = wait_for("a sync", lambda: service.get("/api/sync-status").json()["running"])
            refused = service.post(TRIGGER, headers=BEARER)
            freed.set()
            wait_for("its end", lambda: service.get("/api/sync-status").json()["running"] is None)
            served_account.faults.add(faults.forbidden())
            failed = service.post(TRIGGER, headers=BEARER)
        accepted = service.get(TRIGGER, params={"wait": "false"}, headers=BEARER).json()
        page = service.get("/live").text

    assert (refused.status_code, refused.json()["syncId"]) == (409, running["sync_id"])
    assert failed.status_code == 500
    assert "403" in failed.json()["contacts"]["error"]
    syncs = fetch(database, "select overall_success, flow_run_id from ac_sync_logs order by id")
    assert [success for success, _ in syncs] == [True, False]
    assert api.get(f"/flow_runs/{accepted['flowRunId']}").json()["deployment_id"] is not None
    assert accepted["flowRunUrl"].endswith(accepted["flowRunId"])
    assert accepted["flowRunUrl"].replace(accepted["flowRunId"], syncs[-1][1]) in page


def test_without_a_deployment_the_sync_ends_with_the_service(
    served_account: Account,  # noqa: ARG001  # the environment
    api: httpx.Client,  # noqa: ARG001  # where nothing is deployed
    database: Database,
) -> None:
    """Stopped or killed, the service leaves no process that holds the lease."""
    for number, kind in ((1, signal.SIGTERM), (2, signal.SIGKILL)):
        with served(AC_RATE_LIMIT="2") as (service, process):
            accepted = service.post(TRIGGER, params={"wait": "false"}, headers=BEARER)
            assert (accepted.status_code, accepted.json()) == (
                202,
                {"flowRunId": None, "flowRunUrl": None},
            )
            refused = service.post(TRIGGER, headers=BEARER)
            running = wait_for("a sync", lambda: service.get("/api/sync-status").json()["running"])
            assert (refused.status_code, refused.json()["syncId"]) == (409, running["sync_id"])
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(kind)
            _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
        ended = fetch(database, "select overall_success, deals_error from ac_sync_logs")

        assert alive == []
        assert ended == [(False, STOPPED)] * number


@pytest.mark.usefixtures("served_account", "api")
@pytest.mark.parametrize("options", [AccountOptions(contacts=60, deals=40, rate_limit=None)])
def test_a_trigger_right_after_a_sync_starts_the_next() -> None:
    """The child process of the last sync needs some seconds to exit."""
    with served() as (service, _):
        accepted = service.post(TRIGGER, params={"wait": "false"}, headers=BEARER)
        wait_for("its end", lambda: service.get("/api/sync-status").json()["currentStatus"])

        next_sync = service.post(TRIGGER, headers=BEARER)

    body = next_sync.json()
    assert (accepted.status_code, next_sync.status_code) == (202, 200), body
    assert list(body) == [
        "syncId", "timestamp", "durationMs", "durationMinutes", "contacts", "deals"
    ]  # fmt: skip
    assert re.fullmatch(r"\d+\.\d\d", body["durationMinutes"])
    assert body["contacts"] == {
        "success": True,
        "recordCount": 60,
        "durationMs": body["contacts"]["durationMs"],
    }


@pytest.mark.usefixtures("served_account")
def test_a_prefect_server_that_is_busy_is_asked_again(api: httpx.Client) -> None:
    """Its SQLite refuses a write if another one came first. The server answers 503."""
    deploy()
    with (
        served() as (service, _),
        closing(sqlite3.connect(PREFECT_HOME.value() / "prefect.db", isolation_level=None)) as held,
        ThreadPoolExecutor(1) as other,
    ):
        held.execute("begin immediate")
        held.execute("update deployment set paused = paused")
        asked = other.submit(service.get, TRIGGER, params={"wait": "false"}, headers=BEARER)
        with pytest.raises(TimeoutError):
            asked.result(timeout=2)
        held.execute("commit")
        answer = asked.result()

    assert answer.status_code == 202
    assert api.get(f"/flow_runs/{answer.json()['flowRunId']}").status_code == 200


def test_a_prefect_api_that_does_not_answer_is_503(served_account: Account) -> None:
    """The page is still shown, without the parts that only Prefect knows."""
    with served(PREFECT_API_URL="http://127.0.0.1:9/api") as (service, _):
        answer = service.post(TRIGGER, headers=BEARER)

        assert answer.status_code == 503
        assert "127.0.0.1:9" in answer.json()["error"]
        assert service.get("/").status_code == 200
    assert served_account.statistics.calls == 0


# The secret


def test_only_the_header_may_carry_the_secret(service: httpx.Client) -> None:
    """A query string ends up in logs, and HTTP Basic is for private pages."""
    basic = base64.b64encode(f"x:{SECRET}".encode()).decode()
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": SECRET},
        {"authorization": f"Basic {basic}"},
        {"authorization": "Bearer", "x-secret": SECRET},
        {"authorization": "Bearer \u00fc\u00fc".encode("latin-1")},
    ):
        answer = service.post(TRIGGER, params={"secret": SECRET}, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 401
        assert "CRON_SECRET" in answer.json()["error"]
        assert SECRET not in answer.text

    answer = service.post(TRIGGER, params={"secret": SECRET}, headers=BEARER)
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "There is no parameter 'secret' here. See /openapi.json.",
    )


def test_without_a_secret_the_trigger_refuses_everyone(served_account: Account) -> None:
    """Even a caller with an empty secret."""
    with served(CRON_SECRET="") as (service, _):
        for headers in ({}, BEARER, {"authorization": "Bearer"}):
            assert service.post(TRIGGER, headers=headers).status_code == 401
    assert served_account.statistics.calls == 0


def test_a_private_service_shows_nothing_but_its_health(
    served_account: Account,  # noqa: ARG001  # the environment
) -> None:
    """Browsers ask for the password, and the health shows no reason."""
    basic = {"authorization": "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()}
    with served(ACSYNC_PRIVATE="true") as (service, _):
        closed = {path: service.get(path) for path in PAGES}
        health = service.get("/healthz")

        assert {answer.status_code for answer in closed.values()} == {401}
        assert {answer.headers["www-authenticate"] for answer in closed.values()} == {
            'Basic realm="acsync", charset="UTF-8"'
        }
        assert (health.status_code, health.json()) == (503, {"error": "Unhealthy."})
        for headers in (BEARER, basic):
            assert {service.get(path, headers=headers).status_code for path in PAGES} == {200}
        for wrong in ("Basic !", "Basic " + base64.b64encode(b"me:no").decode(), "Bearer no"):
            assert service.get("/", headers={"authorization": wrong}).status_code == 401


def test_private_without_a_secret_is_refused() -> None:
    done = acsync("serve", ACSYNC_PRIVATE="true", CRON_SECRET="")

    assert done.returncode == 2
    assert "ACSYNC_PRIVATE locks everyone out without CRON_SECRET" in done.stderr


def test_no_secret_is_in_the_log(
    served_account: Account,
    api: httpx.Client,  # noqa: ARG001  # where nothing is deployed
) -> None:
    """The log is JSON lines, for any request and any end of the sync."""
    served_account.faults.add(faults.forbidden())
    with served(ACSYNC_LOG_FORMAT="json") as (service, process):
        assert service.post(TRIGGER, headers=BEARER).status_code == 500
        service.get("/", params={"secret": SECRET})
        service.post(TRIGGER, params={"token": SECRET})
        process.terminate()
        _, log = process.communicate(timeout=30)

    lines = [json.loads(line) for line in log.splitlines()]
    assert {"timestamp", "level", "logger", "message"} <= set(lines[0])
    assert any("started over HTTP" in line["message"] for line in lines)
    assert SECRET not in log
    assert served_account.options.api_key not in log


# Errors


def test_a_database_outage_is_503_until_it_ends(
    account: Account,  # noqa: ARG001  # only its settings
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence, no stack trace, and no restart of the service."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    with own_postgres(tmp_path) as url, served(POSTGRES_URL=url) as (service, _):
        outdated = {path: service.get(path).json()["error"] for path in PAGES if "api/" in path}
        assert acsync("migrate", POSTGRES_URL=url).returncode == 0
        assert service.get("/api/sync-status").status_code == 200
        stop_embedded(tmp_path)
        wait_for("the end", lambda: service.get("/api/sync-status").status_code == 503)
        needs_postgres = {*PAGES, "/healthz"} - {"/queries", "/openapi.json", "/badge.svg"}
        down = {path: service.get(path) for path in needs_postgres}
        down |= {TRIGGER: service.post(TRIGGER, headers=BEARER)}
        page = service.get("/", headers={"accept": "text/html,*/*;q=0.8"})
        badge = service.get("/badge.svg")
        start_embedded(tmp_path)
        wait_for("an answer", lambda: service.get("/api/sync-status").status_code == 200)

    assert "acsync migrate" in outdated["/api/sync-status"]
    assert {answer.status_code for answer in down.values()} == {503}
    for answer in down.values():
        assert list(answer.json()) == ["error"]
        assert "cannot be reached" in answer.json()["error"]
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "cannot be reached" in page.text
    assert "What to do" in page.text
    # A wiki shows no picture that comes with an error.
    assert (badge.status_code, badge.headers["content-type"]) == (200, "image/svg+xml")
    assert ">unknown</text>" in badge.text


def test_a_sync_that_was_killed_does_not_look_alive(
    service: httpx.Client, prefect_api: str, database: Database
) -> None:
    """Progress needs a heartbeat. After 90 seconds without one, no sync runs."""
    process = start("sync", AC_RATE_LIMIT="5", PREFECT_API_URL=prefect_api)
    wait_for("a sync", lambda: service.get("/api/sync-status").json()["running"])
    assert "A sync is running" in service.get("/live").text
    process.kill()
    wait(process)
    fetch(database, EXPIRE)
    wait_for("no sync", lambda: service.get("/api/sync-status").json()["running"] is None)
    assert "No sync is running." in wait_for(
        "the page",
        lambda: (text := service.get("/live").text) and "is running." in text and text,
    )


def test_the_last_error_is_shown_apart_and_as_text(
    service: httpx.Client, copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """With its remedy, its start and its count, until the next complete sync."""
    served_account.faults.add(faults.forbidden())
    copy_account()
    fetch(
        database,
        "update ac_sync_logs set contacts_error = '<script>alert(1)</script> & \"quotes\"'",
    )
    failing = service.get("/").text
    served_account.faults.clear()
    copy_account()
    healed = wait_for(
        "the next page", lambda: (text := service.get("/").text) and "complete" in text and text
    )

    assert "<script>alert" not in failing
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quotes&#34;" in failing
    assert "The last sync was not complete, since" in failing
    assert "What went wrong" not in healed


@pytest.mark.parametrize(
    ("path", "methods"), [(TRIGGER, "GET, POST"), ("/metrics", "GET, HEAD"), ("/", "GET, HEAD")]
)
def test_a_refused_method_gets_all_methods_of_the_address(
    service: httpx.Client, path: str, methods: str
) -> None:
    assert service.request("OPTIONS", path).headers.get_list("allow") == [methods]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/nothing.css", 404),
        ("DELETE", "/api/sync-status", 405),
        ("POST", "/", 405),
        ("PUT", TRIGGER, 405),
        ("GET", "/api/sync-status?limit=3", 422),
        ("POST", f"{TRIGGER}?wait=perhaps", 422),
        ("POST", f"{TRIGGER}?wiat=false", 422),
    ],
)
def test_an_unknown_path_is_one_sentence(
    service: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = service.request(method, path, headers=BEARER)

    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert re.search(r"\.$", answer.json()["error"])


def test_a_browser_gets_a_page_for_an_unknown_path(service: httpx.Client) -> None:
    """With its style, also under the path of a proxy."""
    answer = service.get("/a/b", headers={"accept": "text/html"})

    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.text
    assert 'href="../static/dashboard.css"' in answer.text


def test_a_body_that_nobody_reads_is_refused(service: httpx.Client) -> None:
    answer = service.post(TRIGGER, headers=BEARER, content=b'{"only": "contacts"}')

    assert (answer.status_code, answer.json()["error"]) == (422, "This address takes no body.")


def test_every_answer_keeps_browsers_from_running_foreign_code(service: httpx.Client) -> None:
    """No inline script or style, nothing of another host: the pages hold to it themselves."""
    for path in (*PAGES, "/nothing", "/static/page.js"):
        answer = service.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/", "/queries"):
        page = service.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|https?://", page)


def test_a_dataset_that_is_copied_no_more_has_no_metrics(copy_account: CopyAccount) -> None:
    """It would be stale forever, and its alert would never end."""
    copy_account()

    with served(ACSYNC_DATASETS="contacts") as (service, _):
        metrics = service.get("/metrics").text

    success = [line for line in metrics.splitlines() if line.startswith("acsync_last_success_")]
    assert ["contacts" in line for line in success] == [True]


def test_a_dataset_that_was_never_published_is_stale(service: httpx.Client) -> None:
    """Without a value, Prometheus' rule about stale data never fires."""
    metrics = service.get("/metrics").text

    for name in ("contacts", "deals"):
        labels = f'account="a simulated account",dataset="{name}"'
        assert f"acsync_last_success_timestamp_seconds{{{labels}}} 0.0" in metrics


def test_prometheus_reads_the_metrics_and_counters_are_sums(
    service: httpx.Client, copy_account: CopyAccount, served_account: Account
) -> None:
    """Names and labels are those of the contract."""
    began = datetime.now(UTC).timestamp()
    copy_account()
    served_account.add("contacts", 3)
    copy_account()
    served_account.faults.add(faults.forbidden())
    copy_account()

    families = list(text_string_to_metric_families(service.get("/metrics").text))
    listed = [sample for family in families for sample in family.samples]
    samples = {}
    for sample in listed:
        labels = sorted(item for item in sample.labels.items() if item[0] != "account")
        samples[sample.name, *(value for _, value in labels)] = sample.value

    for metric, name in product(("last_success", "read_from", "verified"), ("contacts", "deals")):
        assert samples.pop((f"acsync_{metric}_timestamp_seconds", name)) >= began
    assert samples.pop(("acsync_api_calls_total",)) > 0
    assert samples.pop(("acsync_last_sync_duration_seconds",)) > 0
    assert samples.pop(("acsync_api_retries_total",)) > 0
    assert samples == {
        ("acsync_last_sync_success",): 0,
        ("acsync_records", "contacts"): 703,
        ("acsync_records", "deals"): 600,
        ("acsync_changes_total", "added", "contacts"): 703,
        ("acsync_changes_total", "updated", "contacts"): 0,
        ("acsync_changes_total", "deleted", "contacts"): 0,
        ("acsync_changes_total", "added", "deals"): 600,
        ("acsync_changes_total", "updated", "deals"): 0,
        ("acsync_changes_total", "deleted", "deals"): 0,
        ("acsync_syncs_total", "success"): 2,
        ("acsync_syncs_total", "failure"): 1,
        ("acsync_api_refusals_total",): 0,
        ("acsync_running",): 0,
        ("acsync_interval_seconds",): 900,
        ("acsync_build_info", version("acsync")): 1,
    }
    assert {name for sample in listed for name in sample.labels} == {
        "account",
        "dataset",
        "change",
        "outcome",
        "version",
    }


def test_the_document_describes_every_answer_that_a_fuzzer_gets(
    service: httpx.Client, copy_account: CopyAccount
) -> None:
    """Includes wrong methods, parameters and bodies. No status is above 500 except 503."""
    copy_account()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.base_url}/openapi.json"),
            *("--max-examples", "30", "--no-color", "--generation-database", "none"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout[-4000:]


def test_many_requests_at_once_ask_postgres_a_few_times(
    served_account: Account,  # noqa: ARG001  # the environment
    copy_account: CopyAccount,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many open dashboards must not slow a sync."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    copy_account()
    sql = "select xact_commit from pg_stat_database where datname = current_database()"
    connected = (
        "select 1 from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )

    def ask(url: httpx.URL) -> None:
        with httpx.Client(base_url=url) as client:
            for _ in range(100):
                assert client.get("/api/sync-status").status_code == 200

    database.close()
    ((before,),) = fetch(database, sql)
    with served() as (client, _):
        threads = [threading.Thread(target=ask, args=(client.base_url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # Postgres counts the work of a connection when it ends.
    wait_for("the end of its connections", lambda: not fetch(database, connected))

    ((after,),) = fetch(database, sql)
    assert 0 < after - before < 200
