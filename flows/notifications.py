"""Reach people through the notification block, whoever made it and whatever it sends to.

Prefect's server sends most alerts, wherever it runs: so the blocks are Prefect's own.
"""

from typing import Any
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
from prefect.types import SecretDict
from pydantic import SecretStr

from acsync.errors import SettingsError, SettingsProblem

ALERT_BLOCK = "acsync-alerts"
NATIVE_URLS: tuple[Any, ...] = (
    NotifySlack.parse_native_url,
    NotifyWorkflows.parse_native_url,
    NotifyDiscord.parse_native_url,
)


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
                SettingsProblem(
                    "ACSYNC_ALERT_URL",
                    "is neither a webhook (https://...) nor a URL that Apprise knows "
                    "(mailtos://..., slack://..., discord://...): see Apprise's list of services.",
                )
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
