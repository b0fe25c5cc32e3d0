"""Require a Prefect API that answers, and turn the errors of its client into one paragraph.

`python -m flows.prefect_api` exits with a message unless PREFECT_API_URL names such an API.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from acsync import logs
from acsync.errors import AcsyncError, SettingsError, SettingsProblem
from flows.links import api_url
from flows.temporary_server import start_temporary_server

# With Prefect's timeouts and retries, a host that drops all packets would take minutes.
TIMEOUT_SECONDS = 15.0


def require_api() -> None:
    """Raise AcsyncError unless the API in use answers; without one, start a temporary server."""
    start_temporary_server()
    with quick_client() as client:
        probe(client)


@contextmanager
def quick_client(retries: int = 1) -> Iterator[SyncPrefectClient]:
    """Yield a client that tells within seconds if the API does not answer."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: retries}),
        get_client(sync_client=True, httpx_settings={"timeout": TIMEOUT_SECONDS}) as client,
    ):
        yield client


def find_deployment(client: SyncPrefectClient, full_name: str) -> DeploymentResponse | None:
    """Return a deployment by the names of its flow and its own, or None."""
    try:
        return client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        return None


def read_runs(
    client: SyncPrefectClient, deployment_id: UUID, state: Mapping[str, Any], **options: Any
) -> list[FlowRun]:
    """Return the runs of a deployment with one of these states, by `type` or by `name`."""
    return client.read_flow_runs(
        deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [deployment_id]}}),
        flow_run_filter=FlowRunFilter.model_validate({"state": state}),
        **options,
    )


def require_lasting_api() -> None:
    """Raise AcsyncError unless PREFECT_API_URL is set and its API answers."""
    require_api_url()
    require_api()


def require_api_url() -> None:
    """Raise SettingsError unless PREFECT_API_URL is set."""
    if not PREFECT_API_URL.value():
        message = (
            "is not set: start a server with `prefect server start` and set it to "
            "http://127.0.0.1:4200/api, or log in to Prefect Cloud."
        )
        raise SettingsError([SettingsProblem("PREFECT_API_URL", message)])


def probe(client: SyncPrefectClient) -> None:
    """Make one call that needs the password, and that no other web server understands.

    Raises AcsyncError.
    """
    with explain_errors():
        try:
            client.read_block_documents(limit=1)
        except ValueError as error:  # no JSON, or not what Prefect answers
            raise explain(error) from error


@contextmanager
def explain_errors() -> Iterator[None]:
    """Raise the errors of Prefect's client as AcsyncError."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise explain(error) from error


def explain(error: Exception) -> AcsyncError:
    """Say why Prefect's API did not do what was asked, at which URL, and what to do."""
    api = f"Prefect's API at {api_url()}"
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
    reason = f"status {status}" if status else type(error).__name__
    if status in (401, 403):
        return AcsyncError(
            f"{api} does not accept the password ({reason}).",
            "Set PREFECT_API_AUTH_STRING to the PREFECT_SERVER_API_AUTH_STRING of its server, or "
            "PREFECT_API_KEY for Prefect Cloud.",
        )
    if isinstance(error, ValueError) or (status and status < 500) or status == 501:
        return AcsyncError(
            f"{api} does not answer as Prefect does ({reason}).",
            "Check PREFECT_API_URL: the URL of a server ends with /api.",
        )
    return AcsyncError(
        f"{api} does not answer ({reason}).", "Start its server, or check PREFECT_API_URL."
    )


if __name__ == "__main__":
    try:
        require_lasting_api()
    except AcsyncError as error:
        logs.report(error)
        sys.exit(error.exit_status)
