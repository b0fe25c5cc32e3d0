"""Send messages to people through the notification block `acsync-alerts`.

Prefect's server sends most alerts, so the blocks have Prefect's types. Only the message that the
data is fresh again comes from the sync, which compares itself with the deployment's earlier runs.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from apprise import Apprise
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.workflows import NotifyWorkflows
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.notifications import DiscordWebhook, MicrosoftTeamsWebhook, SlackWebhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument, FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import deployment, flow_run
from pydantic import SecretStr

from acsync.errors import SettingsError, SettingsProblem
from acsync.results import SyncResult
from acsync.schedule import stale_after
from acsync.settings import read_alert_url
from acsync.sync.report import report_lines
from flows.automations import FAILED_STATES, STOPPED_MESSAGE, SUCCEEDED
from flows.links import page_url
from flows.prefect_api import read_runs
from flows.reporting import warn_on_failure

ALERT_BLOCK = "acsync-alerts"
NATIVE_URLS: tuple[Any, ...] = (
    NotifySlack.parse_native_url,
    NotifyWorkflows.parse_native_url,
    NotifyDiscord.parse_native_url,
)


def find_alert_blocks(client: SyncPrefectClient) -> list[BlockDocument]:
    """Return the notification blocks named `acsync-alerts`, of any type."""
    return [
        document
        for document in client.read_block_documents(limit=None)
        if document.name == ALERT_BLOCK
        and document.block_schema
        and "notify" in document.block_schema.capabilities
    ]


def send_alert(subject: str, body: str) -> None:
    """Send one message through every alert block."""
    with get_client(sync_client=True) as client:
        for listed in find_alert_blocks(client):
            document = client.read_block_document(listed.id)
            block: Any = Block._from_block_document(document)
            with block.raise_on_failure():
                block.notify(subject=subject, body=body)


def save_alert_block(alert_url: str) -> str:
    """Save the block that sends to `alert_url`; return the name of its type."""
    block = make_alert_block(alert_url)
    block.save(ALERT_BLOCK)
    return block.get_block_type_name()


def require_alert_url() -> None:
    """Raise SettingsError if ACSYNC_ALERT_URL is set to something that cannot be used."""
    if alert_url := read_alert_url():
        make_alert_block(alert_url)


def make_alert_block(alert_url: str) -> NotificationBlock:
    """Return Prefect's block for a URL; a webhook of an unknown service receives JSON.

    Raises SettingsError if the URL is neither a webhook nor known to Apprise.
    """
    url = SecretStr(alert_url)
    slack, teams, discord = (parse(alert_url) for parse in NATIVE_URLS)
    if teams:
        return MicrosoftTeamsWebhook(url=url)
    if discord:
        return DiscordWebhook(
            webhook_id=SecretStr(discord["webhook_id"]),
            webhook_token=SecretStr(discord["webhook_token"]),
        )
    if not slack and urlsplit(alert_url).scheme in ("http", "https"):
        url = SecretStr(_post_json(alert_url))
    if Apprise.instantiate(url.get_secret_value()) is None:
        raise SettingsError(
            [
                SettingsProblem(
                    "ACSYNC_ALERT_URL",
                    "is neither a webhook (https://...) nor a URL that Apprise knows "
                    "(mailtos://..., slack://..., discord://...): see Apprise's list of services.",
                )
            ]
        )
    # Despite its name, this block passes any URL to Apprise.
    return SlackWebhook(url=url)


def _post_json(webhook_url: str) -> str:
    """Return Apprise's URL that posts JSON with `subject` and `body` to a webhook.

    If a webhook answers with an error, Prefect's webhook block (3.9.1) logs the URL, a secret.
    """
    parts = urlsplit(webhook_url)
    keys = {":title": "subject", ":message": "body"}
    left_out = dict.fromkeys((":version", ":type", ":attachments"), "")
    query = {f"-{name}": value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    scheme = {"http": "json", "https": "jsons"}[parts.scheme]
    parameters = urlencode(keys | left_out | query)
    return urlunsplit((scheme, parts.netloc, parts.path or "/", parameters, ""))


def send_recovery(result: SyncResult, interval: timedelta) -> None:
    """Tell people that the data is fresh again if an earlier run failed or was overdue."""
    with warn_on_failure("recovery"):
        if problem := _problem_before(deployment.id, flow_run.id, interval):
            run = f"Run: {page_url('flow-run', flow_run.id) or flow_run.id}"
            lines = [f"{problem} This sync is complete.", "", *report_lines(result), "", run]
            send_alert(f"acsync: recovered: {result.account}", "\n".join(lines))


def _problem_before(deployment_id: str | None, flow_run_id: str, interval: timedelta) -> str | None:
    """Return what was wrong before this run; runs without a deployment never alert."""
    if deployment_id is None:
        return None
    with get_client(sync_client=True) as client:
        ended = _last_run(client, UUID(deployment_id), [SUCCEEDED, *FAILED_STATES], flow_run_id)
        good = _last_run(client, UUID(deployment_id), [SUCCEEDED], flow_run_id)
    since = f"{good.end_time:%Y-%m-%d %H:%M %Z}" if good and good.end_time else "the beginning"
    state = ended.state if ended else None
    if state and state.name in FAILED_STATES and state.message != STOPPED_MESSAGE:
        return f"The last sync had failed, and none had completed since {since}."
    if good and good.end_time and datetime.now(UTC) - good.end_time > stale_after(interval):
        return f"No sync had completed since {since}."
    return None


def _last_run(
    client: SyncPrefectClient, deployment_id: UUID, names: list[str], excluded: str
) -> FlowRun | None:
    newest_first = FlowRunSort.END_TIME_DESC
    runs = read_runs(client, deployment_id, {"name": {"any_": names}}, sort=newest_first, limit=2)
    return next((run for run in runs if str(run.id) != excluded), None)
