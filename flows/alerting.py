"""Tell people when a sync failed, when the data is stale, and once when all is well again.

The messages are Jinja templates that Prefect's server fills in, wherever it runs: so the blocks
are Prefect's own, and what is only known to the sync stands in the state's message.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from apprise import Apprise
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.workflows import NotifyWorkflows
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.notifications import (
    CustomWebhookNotificationBlock,
    DiscordWebhook,
    MicrosoftTeamsWebhook,
    SlackWebhook,
)
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.events.actions import ActionTypes, DoNothing, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.types import SecretDict
from pydantic import SecretStr

from acsync.errors import SettingsError

ALERT_BLOCK = "acsync-alerts"
FAILED_AUTOMATION = "acsync: sync failed"
STALE_AUTOMATION = "acsync: data is stale"
STALE_AFTER = timedelta(minutes=45)
"""Three intervals, as for GET /healthz."""

NATIVE_URLS: tuple[Any, ...] = (
    NotifySlack.parse_native_url,
    NotifyWorkflows.parse_native_url,
    NotifyDiscord.parse_native_url,
)
Labels: TypeAlias = dict[str, str | list[str]]

SUCCEEDED = "Completed"
FAILED_STATES = ("Failed", "Crashed", "TimedOut")
OTHER_STATES = ("Late", "Pending")
"""With those above, each starts the clock of staleness where none runs: a run that no worker takes
becomes late, so that it starts without any worker too."""


def find_alert_blocks(client: SyncPrefectClient) -> list[BlockDocument]:
    """Give the notification blocks of that name, whoever made them and of whatever type."""
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
        for found in find_alert_blocks(client):
            document = client.read_block_document(found.id)
            block: Any = Block._from_block_document(document)
            with block.raise_on_failure():
                block.notify(subject=subject, body=body)


def save_alert_block(alert_url: str) -> str:
    """Make the block that sends to `alert_url`, and give the name of its type."""
    block = make_alert_block(alert_url)
    block.save(ALERT_BLOCK)
    return block.get_block_type_name()


def make_alert_block(alert_url: str) -> NotificationBlock:
    """Choose Prefect's block for a URL; a plain webhook gets JSON with subject, body and text.

    Raises SettingsError for what is neither a webhook nor a URL that Apprise knows.
    """
    if urlsplit(alert_url).scheme in ("http", "https"):
        return _make_webhook_block(alert_url)
    if Apprise.instantiate(alert_url) is None:
        raise SettingsError(
            [
                "ACSYNC_ALERT_URL is neither a webhook (https://...) nor a URL that Apprise "
                "knows (mailtos://..., slack://..., discord://...): see Apprise's list of services."
            ]
        )
    # Of Prefect's blocks this one hands Apprise what is no webhook of Slack's, whatever it names.
    return SlackWebhook(url=SecretStr(alert_url))


def _make_webhook_block(alert_url: str) -> NotificationBlock:
    url = SecretStr(alert_url)
    slack, teams, discord = (parse(alert_url) for parse in NATIVE_URLS)
    if slack:
        return SlackWebhook(url=url)
    if teams:
        return MicrosoftTeamsWebhook(url=url)
    if discord:
        return DiscordWebhook(
            webhook_id=SecretStr(discord["webhook_id"]),
            webhook_token=SecretStr(discord["webhook_token"]),
        )
    # Prefect does not take the URL of this block for a secret, but its secrets.
    return CustomWebhookNotificationBlock(
        name="acsync",
        url="{{alert_url}}",
        json_data={"text": "{{subject}}\n{{body}}", "subject": "{{subject}}", "body": "{{body}}"},
        headers=None,
        cookies=None,
        secrets=SecretDict({"alert_url": alert_url}),
    )


def alert_automations(
    flow: str, blocks: Sequence[BlockDocument], run_url: str | None, deployment_url: str | None
) -> list[AutomationCore]:
    """Give the two automations; without a block they fire visibly but tell nobody.

    The URLs lead to a run and a deployment, each but for its id.
    """

    def notify(subject: str, body: str) -> list[ActionTypes]:
        actions: list[ActionTypes] = [
            SendNotification(block_document_id=block.id, subject=subject, body=body)
            for block in blocks
        ]
        return actions or [DoNothing()]

    of_flow: Labels = {"prefect.resource.role": "flow", "prefect.resource.name": flow}
    of_deployment: Labels = {
        "prefect.resource.role": "deployment",
        "prefect.resource.id": "prefect.deployment.*",
    }
    failed = AutomationCore(
        name=FAILED_AUTOMATION,
        description="A sync failed, crashed or timed out.",
        trigger=EventTrigger(
            expect=_events(FAILED_STATES),
            match_related=[of_flow],
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=notify(
            "acsync: sync {{ flow_run.state.name | lower }}: {{ flow_run.name }}",
            "{{ flow_run.state.message }}\n\n" + _link("Run", run_url, "flow_run"),
        ),
    )
    stale = AutomationCore(
        name=STALE_AUTOMATION,
        description="No scheduled sync has completed for 45 minutes, or no worker is alive.",
        trigger=EventTrigger(
            after=_events((SUCCEEDED, *FAILED_STATES, *OTHER_STATES)),
            expect=_events((SUCCEEDED,)),
            match_related=[of_flow, of_deployment],
            for_each={"related:deployment:prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=STALE_AFTER,
        ),
        actions=notify(
            "acsync: data is stale: {{ deployment.name }}",
            "No sync of {{ deployment.name }} has completed since "
            "{{ (firing.triggered - automation.trigger.within).strftime('%Y-%m-%d %H:%M') }} UTC "
            "or before: what is published is that old. Look whether a worker is alive "
            "(prefect worker start --pool acsync) and how the last runs ended.\n\n"
            + _link("Deployment", deployment_url, "deployment"),
        ),
    )
    return [failed, stale]


def _events(states: Iterable[str]) -> set[str]:
    return {f"prefect.flow-run.{state}" for state in states}


def _link(title: str, url: str | None, name: str) -> str:
    return f"{title}: {url}{{{{ {name}.id }}}}" if url else f"{title} {{{{ {name}.id }}}}"


def save_automation(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Create or update one; gives what was done. An unchanged one keeps its running clocks."""
    for existing in client.read_automations_by_name(automation.name):
        kept = automation.model_copy(update={"enabled": existing.enabled})
        if AutomationCore.model_validate(existing.model_dump()) == kept:
            return "is up to date"
        client.update_automation(existing.id, kept)
        return "updated"
    client.create_automation(automation)
    return "created"
