"""History is deleted only as far as somebody decided, and each report says how much."""

from datetime import timedelta

import pytest

from acsync.results import Changes, SyncResult
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from acsync.sync.report import report_lines, report_markdown
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch, run_incremental

VERSIONS = "select count(*) from ac_contact_versions"
IN_FORCE = "select keep from ac_retention"


@pytest.fixture
def options() -> AccountOptions:
    """Use an account of a few contacts."""
    return AccountOptions(contacts=30, deals=0, rate_limit=None)


def copy_and_age(copy_account: CopyAccount, account: Account, database: Database) -> SyncResult:
    """Sync a change, and make all published syncs two days older."""
    account.change("contacts", 3)
    result = copy_account("contacts")
    fetch(database, "update ac_published set synced_at = synced_at - interval '2 days'")
    return result


def test_a_sync_with_a_shorter_setting_deletes_nothing(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shell without the variable deleted 360,661 versions without a word."""
    for _ in range(3):
        copy_and_age(copy_account, account, database)
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "1")

    result = copy_and_age(copy_account, account, database)

    assert fetch(database, VERSIONS) == [(39,)]
    assert fetch(database, IN_FORCE) == [("30d",)]
    (warning,) = result.datasets["contacts"].warnings
    assert warning.startswith("ACSYNC_KEEP_SYNCS is 1, shorter than the 30d in force")
    assert warning.endswith("run: acsync migrate --keep 1")


def test_a_longer_setting_is_in_force_at_once(
    copy_account: CopyAccount, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keeping more loses nothing. A number of syncs counts as that many intervals."""
    for keep, in_force in [("5", "5"), ("70m", "5"), ("80m", "80m"), ("3d", "3d"), ("90", "3d")]:
        monkeypatch.setenv("ACSYNC_KEEP_SYNCS", keep)
        result = copy_account("contacts")
        assert fetch(database, IN_FORCE) == [(in_force,)]
        assert bool(result.datasets["contacts"].warnings) == (keep != in_force)


def test_an_interval_stays_in_force_until_another_one_is_set(
    copy_account: CopyAccount, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell without the variable changes nothing. Kept syncs are as long as their intervals."""
    in_force = "select sync_interval, keep from ac_schedule, ac_retention"
    for interval, keep, keeps in [("1h", "5", "5"), ("", "4h", "5"), ("", "6h", "6h")]:
        monkeypatch.setenv("ACSYNC_INTERVAL", interval)
        monkeypatch.setenv("ACSYNC_KEEP_SYNCS", keep)
        copy_account("contacts")
        assert fetch(database, in_force) == [(timedelta(hours=1), keeps)]


def test_a_confirmed_value_deletes_and_says_how_much(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`acsync migrate --keep` is how a person decides."""
    for _ in range(3):
        copy_and_age(copy_account, account, database)
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "1d")
    migrated = acsync("migrate", "--keep", "1d")
    assert "keeps 1d of history. Set ACSYNC_KEEP_SYNCS=1d too." in migrated.stdout
    by_number = acsync("migrate", "--keep", "2")
    assert "keeps the last 2 full syncs. Set ACSYNC_KEEP_SYNCS=2 too." in by_number.stdout
    acsync("migrate", "--keep", "1d")

    result = copy_and_age(copy_account, account, database)

    dropped = "select contacts_dropped from ac_sync_logs order by id desc limit 1"
    assert fetch(database, dropped) == [(3,)]
    assert result.datasets["contacts"].warnings == ()
    assert next(iter(report_lines(result))).endswith("0 deleted; 3 old versions dropped")
    assert "| contacts | 30 | 0 | 3 | 0 | 0 | 0 | 3 |" in report_markdown(result)


def test_history_since_an_old_full_sync_stays(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While full syncs failed, incremental ones went on. Their changes are minutes old."""
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "1d")
    copy_and_age(copy_account, account, database)
    for _ in range(3):
        account.change("contacts", account.ids("contacts")[:3])
        run_incremental(read_settings())
    before = fetch(database, VERSIONS)
    assert before > [(30,)]

    result = copy_account("contacts")

    assert fetch(database, VERSIONS) == before
    assert result.datasets["contacts"].changes == Changes(30, 0, 0, 0, 0)


@pytest.mark.parametrize("keep", ["0", "soon", "-1d"])
def test_a_value_that_is_no_age_is_refused(keep: str) -> None:
    """The same values as in ACSYNC_KEEP_SYNCS."""
    refused = acsync("migrate", f"--keep={keep}")

    assert refused.returncode == 2
    assert "an age such as 12h or 30d" in refused.stderr
