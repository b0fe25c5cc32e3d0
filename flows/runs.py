"""Start a run of a deployment, read its state, and link to its page in Prefect's UI."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import (
    PREFECT_API_URL,
)
from prefect.states import Pending

from flows.deployment import name_deployment
from flows.links import page_url
from flows.prefect_api import explain, find_deployment, quick_client, read_runs
from flows.sync_activecampaign import sync_activecampaign

# If two requests write at the same time, SQLite refuses one of them and Prefect's server answers
# 503. Prefect's client then tries again after about 2, 4 and 8 s.
BUSY_RETRIES = 3


def find_deployment_id(account: str | None) -> UUID | None:
    """Return the id of an account's deployment, or None if there is no API or no deployment.

    Raises AcsyncError if the API does not answer.
    """
    if not PREFECT_API_URL.value():
        return None
    name = f"{sync_activecampaign.name}/{name_deployment(account)}"
    with _client() as client:
        deployment = find_deployment(client, name)
    return deployment.id if deployment else None


def start_run(deployment_id: UUID) -> UUID:
    """Create a run of a deployment and return its id. Raises AcsyncError as above."""
    # With the key, a retry after a lost response does not create a second run.
    key = str(uuid4())
    with _client(BUSY_RETRIES) as client:
        return client.create_flow_run_from_deployment(deployment_id, idempotency_key=key).id


def read_state(run_id: UUID) -> State[Any]:
    """Return the state of a run. Raises AcsyncError as above."""
    with _client() as client:
        return client.read_flow_run(run_id).state or Pending()


def read_next_start(account: str | None) -> datetime | None:
    """Return when the next scheduled run is due, or None if no run is scheduled."""
    deployment_id = find_deployment_id(account)
    if deployment_id is None:
        return None
    scheduled, first = (
        {"type": {"any_": [StateType.SCHEDULED]}},
        FlowRunSort.EXPECTED_START_TIME_ASC,
    )
    with _client() as client:
        runs = read_runs(client, deployment_id, scheduled, sort=first, limit=1)
    return runs[0].expected_start_time if runs else None


def run_url(run_id: UUID | str) -> str | None:
    """Return the URL of a run in Prefect's UI, or None without a UI."""
    return page_url("flow-run", run_id)


@contextmanager
def _client(retries: int = 0) -> Iterator[SyncPrefectClient]:
    """Yield a client that raises AcsyncError for every failure."""
    try:
        with quick_client(retries) as client:
            yield client
    except Exception as error:
        # Prefect's client raises HTTP and OS errors of several kinds.
        raise explain(error) from error
