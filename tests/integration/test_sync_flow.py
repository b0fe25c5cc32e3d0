"""A record's whole way through the flow, with the simulator and real Prefect and Postgres."""

import asyncio
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.settings import get_current_settings
from rich.console import Console
from sqlalchemy import Engine, event

from acsync.cli.sync import run_sync
from acsync.datasets import DATASETS
from acsync.errors import AcsyncError
from acsync.settings import read_database_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from acsync.store.lease import keep_lease, start_sync
from acsync.store.snapshot import published_ids
from flows.automations import HEARTBEAT_SECONDS
from flows.sync_activecampaign import TURNED_AWAY
from tests.support import faults
from tests.support.calls import Churn, on_path
from tests.support.commands import wait_for
from tests.support.fixtures import Sync
from tests.support.syncs import assert_exact, changes_of, last_log


@pytest.fixture
def options() -> AccountOptions:
    """Use a small account, since each slice is a task of Prefect, with slices of two pages."""
    return AccountOptions(contacts=300, deals=250, rate_limit=None)


def test_the_account_is_copied_exactly_and_then_only_what_changed(
    sync: Sync, account: Account, database: Database
) -> None:
    """The product in one test, compared key by key with the simulator's account."""
    assert sync().is_completed()
    assert_exact(database, account)
    assert changes_of(database) == {"contacts": (300, 0, 0), "deals": (250, 0, 0)}

    assert sync().is_completed()
    assert_exact(database, account)
    assert changes_of(database) == {"contacts": (0, 0, 0), "deals": (0, 0, 0)}

    masked = set(account.masked_ids())
    account.add("contacts", 3)
    account.change("contacts", 5)
    account.delete("contacts", 7)
    account.delete("deals", [deal for deal in account.ids("deals") if deal not in masked][10:12])
    account.add("deals", 1)
    assert sync().is_completed()
    contacts, deals = changes_of(database).values()
    assert contacts[0] == 3
    assert contacts[2] == 7
    assert deals == (1, 0, 2)
    assert_exact(database, account)


@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=900, deals=900, rate_limit=20, retry_after_seconds=1)]
)
def test_the_servers_limit_is_kept_by_all_calls_together(
    sync: Sync, account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts, deals and metadata share one rate limit, and the server refuses a burst."""
    monkeypatch.setenv("AC_RATE_LIMIT", "20")

    assert sync().is_completed()

    log = last_log(database)
    assert log["api_calls"] == account.statistics.calls + account.statistics.refused
    assert log["rate_limited"] == account.statistics.refused
    assert account.statistics.refused <= 2
    assert_exact(database, account)


@pytest.mark.parametrize("options", [AccountOptions(contacts=1_500, deals=1_500, rate_limit=20)])
def test_a_lower_limit_is_found_and_remembered(
    sync: Sync, account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account allows half of the setting, or another program uses the other half."""
    monkeypatch.setenv("AC_RATE_LIMIT", "40")

    assert sync().is_completed()
    first = last_log(database)
    assert sync().is_completed()
    second = last_log(database)

    assert first["rate_limited"] < 0.1 * first["api_calls"]
    assert second["rate_limited"] < 0.05 * second["api_calls"]
    assert first["learned_rate"] == pytest.approx(20, rel=0.15)
    assert second["learned_rate"] == pytest.approx(20, rel=0.15)
    assert_exact(database, account)


@pytest.mark.parametrize("options", [AccountOptions(contacts=700, deals=600, rate_limit=None)])
def test_lasting_records_are_published_once_whatever_changes(
    sync: Sync, account: Account, database: Database
) -> None:
    """People keep working during a sync, and deletions move records that were not read yet."""
    marks = account.mark()
    with Churn(account, per_second=60, seed=3):
        assert sync().is_completed()

    for name in DATASETS:
        published = published_ids(database, name)
        assert len(published) == len(set(published))
        assert account.untouched_since(name, marks) <= set(published) <= account.ever(name)


# Enough contacts for slices of several pages, however slow the answers are.
@pytest.mark.parametrize("options", [AccountOptions(contacts=5_000, deals=600, rate_limit=None)])
def test_a_failed_slice_costs_one_dataset(sync: Sync, account: Account, database: Database) -> None:
    """A server that ignores a parameter is not asked again, so later slices are not read."""
    account.faults.add(faults.ignore_parameter("id_greater").only(on_path("contacts")))

    state = sync()

    assert state.is_failed()
    assert "contacts: not published. /contacts sent id" in (state.message or "")
    assert "ignores id_greater" in last_log(database)["contacts_error"]
    assert published_ids(database, "contacts") == []
    assert published_ids(database, "deals") == account.ids("deals")


def test_unreadable_metadata_fails_only_its_datasets(
    sync: Sync, account: Account, database: Database
) -> None:
    """Deals without their pipelines would be incomplete."""
    account.faults.add(faults.status(404).only(on_path("dealGroups")))

    assert sync().is_failed()

    assert published_ids(database, "contacts") == account.ids("contacts")
    assert published_ids(database, "deals") == []
    assert "/api/3/dealGroups" in last_log(database)["deals_error"]


def test_a_wrong_key_is_told_and_nothing_is_published(
    sync: Sync, account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key appears nowhere, not even a wrong one. One call is repeated, not all nine."""
    monkeypatch.setenv("AC_API_KEY", "an-old-secret")

    state = sync()

    assert state.is_failed()
    assert account.statistics.calls <= 12
    assert (state.message or "").count("Check AC_API_KEY") == 1
    assert "AC_API_KEY" in last_log(database)["contacts_error"]
    assert "an-old-secret" not in str(last_log(database)) + (state.message or "")
    run_id = state.state_details.flow_run_id
    wait_for("the last step", lambda: "publish" in asyncio.run(read_run(run_id))[0])
    names, _ = asyncio.run(read_run(run_id))
    assert {name.partition(" ")[0] for name in names} == {"read", "publish"}, "none is NotReady"


def test_a_second_sync_ends_at_once_as_skipped(
    sync: Sync, account: Account, database: Database
) -> None:
    """Scheduled, manual and command-line syncs overlap. One runs, and the others do not fail."""
    running = start_sync(database, "flow run brave-otter on host-a", None)
    with keep_lease(database, running):
        state = sync()

    assert (state.name, state.is_completed()) == (TURNED_AWAY, True)
    assert running.sync_id in (state.message or "")
    assert "brave-otter" in (state.message or "")
    assert account.statistics.calls == 0


def test_an_outdated_schema_is_refused_with_the_command_to_run(
    sync: Sync, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables that the code only half knows are worse than none."""
    url = empty_database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("POSTGRES_URL", url.replace("postgresql+psycopg2", "postgresql"))

    state = sync()

    assert state.is_failed()
    assert "acsync migrate" in (state.message or "")


def test_names_progress_and_report_can_be_read_by_a_person(sync: Sync) -> None:
    """Operators see them in Prefect's UI."""
    state = sync()

    expected = {
        "read contact_fields",
        "read newest deals",
        "plan deals",
        "contacts 1 to 40",
        "read newest contacts again",
        "verify contacts",
        "publish",
    }

    def has_names() -> dict[str, Any] | None:
        names, artifacts = asyncio.run(read_run(state.state_details.flow_run_id))
        return artifacts if expected <= names else None

    # Prefect's server is slow to store the runs of tasks.
    artifacts = wait_for("the names of all steps", has_names)
    assert artifacts["acsync-contacts"] == 100
    assert artifacts["acsync-deals"] == 100
    assert "| contacts | 300 | 300 | 0 | 0 | 0 |" in artifacts["acsync-report"]
    assert "per second, limit " in artifacts["acsync-report"]


async def read_run(flow_run_id: Any) -> tuple[set[str], dict[str, Any]]:
    """Return what the Prefect server knows of a run."""
    async with get_client() as client:
        tasks = await client.read_task_runs(
            task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[flow_run_id])),
            limit=200,
        )
        artifacts = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        )
    return {task.name for task in tasks}, {
        str(artifact.key): artifact.data for artifact in artifacts
    }


def test_a_new_field_is_an_event_and_a_report_line(
    sync: Sync, account: Account, api: httpx.Client
) -> None:
    """For people with models on the wide views. The first sync, which adds all, sends none."""
    sync()
    fields = account.metadata.listings["contact_fields"]
    fields.append({**fields[0], "id": "900", "perstag": "BRAND_NEW", "title": "Brand new"})

    state = sync()

    assert "contacts: custom fields that are new: Brand new" in (state.message or "")
    query = {"filter": {"event": {"name": ["acsync.schema.changed"]}}}
    (event,) = wait_for(
        "the event", lambda: api.post("/events/filter", json=query).json()["events"]
    )
    (change,) = event["payload"]["contacts"]
    assert (change["change"], change["column"], change["field_id"]) == ("new", "brand_new", "900")


@pytest.mark.usefixtures("served")
def test_a_run_by_hand_sends_heartbeats_in_time(
    database_url: str, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The automation waits for as long as Prefect's default interval between two."""
    settings = read_database_settings(POSTGRES_URL=database_url)
    url = empty_database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("POSTGRES_URL", url)  # the flow connects, and fails without tables
    seen = []

    def note_frequency(*_: object) -> None:
        seen.append(get_current_settings().flows.heartbeat_frequency)

    event.listen(Engine, "connect", note_frequency)
    try:
        with pytest.raises(AcsyncError, match="acsync migrate"):
            run_sync(Console(), settings, None, accept_shrink=False, account=None)
    finally:
        event.remove(Engine, "connect", note_frequency)

    assert HEARTBEAT_SECONDS in seen
