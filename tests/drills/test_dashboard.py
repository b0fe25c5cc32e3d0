"""The dashboard in a real browser: every state, on a phone, dark, and without scripts."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from acsync.readings import Pace
from acsync.results import CallCounts, DatasetResult, SyncProgress
from acsync.simulator.account import Account
from acsync.store.database import Database
from acsync.store.lease import keep_lease, start_sync
from acsync.store.sync_log import finish_log, record_plan
from tests.support.commands import require_program, served, wait_for
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch

# People look at these pictures; git ignores them.
SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HOSTILE = '<img src=x onerror=alert(1)> \u202eevil & "quotes" \'; drop table ' + "x" * 300

# A month with changes every day, some failures, and two hours without a sync.
HISTORY = """
    insert into ac_sync_logs (
        id, sync_id, timestamp, finished_at, total_duration_ms, api_calls, retries, rate_limited,
        contacts_success, contacts_count, contacts_added, contacts_updated, contacts_deleted,
        deals_success, deals_count, deals_added, deals_updated, deals_deleted, overall_success,
        contacts_error, contacts_duration_ms, deals_duration_ms)
    select n - 10000, 'sync-' || (1000 + n), start, start + interval '170 s',
           165000 + (n * 7919) % 25000, 1590, 0, (n % 9 = 0)::int,
           n % 37 <> 0, case when n % 37 <> 0 then 79000 + n end, 20 + n % 7, 300 + (n * 31) % 200,
           n % 5, true, 72000 + n, 15, 180 + (n * 17) % 90, n % 3, n % 37 <> 0,
           case when n % 37 = 0 then 'ActiveCampaign answered /contacts with status 502, four '
                || 'times in a row. The next sync tries again.' end, 150000, 140000
    from generate_series(1, 2879) as n,
         lateral (select now() - (2880 - n) * interval '15 min' - interval '1 min') as at (start)
    where n not between 2845 and 2852
"""


FAILED = "update ac_sync_logs set overall_success = false, deals_error = 'Status 403.'"
COMPLETE = "update ac_sync_logs set overall_success = true, deals_error = null"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    program = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(program), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def url(
    served_account: Account,  # noqa: ARG001  # the environment
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Serve the dashboard, and yield its address."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    with served() as (client, _):
        yield str(client.base_url)


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """Open a page, and check that it is accessible, asks no other host and logs no error."""
    stack = ExitStack()

    def visit(
        name: str,
        path: str = "/",
        *,
        status: int = 200,
        phone: bool = False,
        dark: bool = False,
        scripts: bool = True,
    ) -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            timezone_id="Asia/Kolkata",
        )
        stack.callback(context.close)
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.extend(foreign(request.url, url)))
        answer = page.goto(url + path)
        assert answer is not None
        assert answer.status == status
        if status != 200:  # Chromium logs it
            troubles.clear()
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0, "the page is wider than the screen"
        if scripts:
            assert serious(page) == []
        assert troubles == []
        return page

    with stack:
        yield visit


def foreign(asked: str, own: str) -> list[str]:
    """Return the address if it is on another host."""
    return [] if urlsplit(asked).netloc in (urlsplit(own).netloc, "") else [asked]


def serious(page: Page) -> list[str]:
    """Return the violations in axe-core's report that keep people from using the page."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]


def test_the_page_reads_well_in_every_state(
    visit: Callable[..., Page], copy_account: CopyAccount, database: Database, url: str
) -> None:
    """Before the first sync, while one runs, after success, after a failure, stale, after years."""

    def show(shows: Callable[[str], bool]) -> None:
        """Wait until the service has read again what it keeps for some seconds."""
        wait_for("the page", lambda: shows(httpx.get(url).text))

    assert "Next steps" in visit("never").content()

    copy_account()
    # The numbers of the charts are kept for longer than the verdict.
    show(lambda text: "Fresh" in text and "So far: 1." in text)
    fresh = visit("fresh", phone=True, dark=True)
    assert fresh.locator(".verdict h2").inner_text().endswith("Fresh")
    assert re.search(r" UTC \(.*(IST|GMT\+5:30)\)$", fresh.locator(".at").inner_text())

    fetch(database, FAILED)
    show(lambda text: "the last sync failed" in text)
    assert visit("failing", phone=True).locator(".wrong").is_visible()
    fetch(database, COMPLETE)

    fetch(database, HISTORY)
    show(lambda text: bool(re.search(r'points="(\S+ ){9}', text)))
    history = visit("history")
    assert history.locator(".strip li.none").count() >= 8
    for scripts in (True, False):
        visit("history-phone", phone=True, dark=scripts, scripts=scripts)

    running = start_sync(database, "a test", None)
    record_plan(database, running, "contacts", 82_000)
    now = SyncProgress("copying", {"contacts": 41_234}, 812, 2, 9.8, 95)
    with keep_lease(database, running, lambda: now, renew_seconds=0.1):
        show(lambda text: "41,234 of 82,000" in text)
        assert "about 1 min left" in visit("running", dark=True).content()

    with database.begin() as connection:
        failed_result = DatasetResult(error=HOSTILE)
        finish_log(connection, running, {"contacts": failed_result}, CallCounts(), Pace(10))
    fetch(database, "update ac_published set read_from = now() - interval '50 minutes'")
    failed = visit("failed", phone=True)
    assert HOSTILE.split("\u202e", maxsplit=1)[0] in failed.locator(".wrong dd").inner_text()
    assert visit("stale", dark=True).locator(".verdict h2").inner_text().endswith("Stale")


def test_questions_open_and_copy_their_sql(visit: Callable[..., Page]) -> None:
    """By topic; each opens with its SQL and a button, also on plain http."""
    page = visit("queries", "/queries", phone=True)

    page.get_by_text("How does the win rate develop?").click()
    page.locator("details[open] button").click()

    assert page.locator("details[open] button").inner_text() == "Copied"
    assert "percent_won" in page.evaluate("getSelection().toString()")
    assert page.locator("h2").count() == 7


def test_the_data_dictionary_reads_well(
    visit: Callable[..., Page], copy_account: CopyAccount
) -> None:
    """Before the first sync and after it; on a phone, its tables scroll inside the page."""
    visit("data-never", "/data")
    copy_account()

    page = visit("data", "/data", phone=True, dark=True)

    page.get_by_text("ac_contact_tags: One row per contact and tag").click()
    assert page.locator("#ac_contact_tags tr").count() == 5
    assert page.locator(".picture rect").count() == 14


def test_a_browser_is_told_what_to_do_without_tables(
    visit: Callable[..., Page], database: Database
) -> None:
    """The page comes with status 503, and shows the dashboard as soon as there are tables."""
    fetch(database, "alter table ac_schema_revision rename to ac_schema_revision_away")

    page = visit("no-tables", status=503)

    assert "What to do" in page.content()
    fetch(database, "alter table ac_schema_revision_away rename to ac_schema_revision")
    page.get_by_text("Next steps").wait_for(timeout=60_000)


def test_the_live_part_updates_and_says_if_it_cannot(
    visit: Callable[..., Page], copy_account: CopyAccount, database: Database
) -> None:
    """A page left open on a wall must not look fresh when the service has stopped answering."""
    page = visit("polling")
    copy_account()
    page.get_by_text("Fresh").wait_for(timeout=15_000)
    fetch(database, "alter table ac_lease rename to ac_lease_away")

    page.locator("#connection").wait_for(timeout=30_000)

    assert "cannot be brought up to date" in page.locator("#connection").inner_text()
    fetch(database, "alter table ac_lease_away rename to ac_lease")
    page.locator("#connection").wait_for(state="hidden", timeout=30_000)
