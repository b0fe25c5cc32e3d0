"""The Prefect block that holds the credentials of one account, so that one server syncs several.

Empty fields are read from the environment, like the settings that all accounts share. The URL and
the key always come from the same source: the environment's key is never sent to a block's URL.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound
from pydantic import Field, SecretStr

from acsync.errors import SettingsError, SettingsProblem
from acsync.local.embedded_postgres import with_database_url
from acsync.settings import ACCOUNT, DATABASE, Settings, read_settings
from flows.links import api_url
from flows.prefect_api import explain_errors, require_api
from flows.temporary_server import has_local_data

# The environment variables, and the fields of a block that replace them.
FIELDS = {
    "AC_API_URL": "url",
    "AC_API_KEY": "key",
    "AC_RATE_LIMIT": "rate_limit",
    "POSTGRES_URL": "database_url",
    "ACSYNC_SCHEMA": "database_schema",
    "ACSYNC_DATASETS": "datasets",
    "ACSYNC_EXCLUDE": "exclude",
    "ACSYNC_HASH": "hashed",
}


class ActiveCampaignAccount(Block):
    """One account and the schema it is copied to, with its own lease, log, views and rate limit."""

    _block_type_name: ClassVar[str | None] = "ActiveCampaign account"
    _block_type_slug: ClassVar[str | None] = "activecampaign-account"
    _description: ClassVar[str | None] = (
        "An account that acsync copies. Select it with the flow's parameter `account`."
    )

    url: str = Field(description="https://ACCOUNT.api-us1.com")
    key: SecretStr = Field(description="The API key, from Settings > Developer.")
    rate_limit: float = Field(default=10, description="Calls per second for the whole account.")
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://USER:PASSWORD@HOST/DATABASE. Default: POSTGRES_URL."
    )
    datasets: str | None = Field(
        default=None,
        description="contacts,deals or, for a plan without CRM, contacts. Optional: deal_events.",
    )
    database_schema: str | None = Field(
        default=None, description="A schema for this account only. Default: the block's name."
    )
    exclude: str | None = Field(
        default=None, description="Fields that are never stored. Default: ACSYNC_EXCLUDE."
    )
    hashed: str | None = Field(
        default=None, description="Fields to store as keyed hashes. Default: ACSYNC_HASH."
    )


def load_account(account: str) -> ActiveCampaignAccount:
    """Load the block of an account; raises SettingsError if no block has that name."""
    slug = f"{ActiveCampaignAccount.get_block_type_slug()}/{account}"
    url = api_url()
    place = f"at {url}" if url else "in Prefect's local database, and PREFECT_API_URL is not set"
    missing = SettingsProblem(
        f"The block {slug}",
        f"does not exist {place}. Register its type with prefect block register --module "
        "flows.blocks, and create it in the UI under Blocks.",
    )
    if not url and not has_local_data():
        raise SettingsError([missing])
    require_api()
    with explain_errors():
        try:
            return cast(ActiveCampaignAccount, ActiveCampaignAccount.load(account))
        except (ValueError, ObjectNotFound):
            raise SettingsError([missing]) from None


def read_account_settings(account: str | None) -> Settings:
    """Read the settings of a sync, and start the embedded Postgres if it is used."""
    return with_database_url(read_block_settings(account))


def read_block_settings(
    account: str | None, variables: Sequence[str] = DATABASE + ACCOUNT
) -> Settings:
    """Read these variables for an account; raises SettingsError naming the block's fields."""
    if account is None:
        return read_settings(variables)
    block = load_account(account)
    _require_url_and_key(block, account)
    try:
        return read_settings(variables, **_values(block, account, variables))
    except SettingsError as error:
        raise SettingsError([_name_field(problem, account) for problem in error.problems]) from None


def _require_url_and_key(block: ActiveCampaignAccount, account: str) -> None:
    """Raise SettingsError if the block has only one of the two."""
    is_set = {"url": bool(block.url.strip()), "key": bool(block.key.get_secret_value().strip())}
    if is_set["url"] != is_set["key"]:
        missing = next(field for field in is_set if not is_set[field])
        message = "is empty. Set url and key, or leave both empty to use the environment's."
        raise SettingsError([SettingsProblem(f"{missing} of the block {account}", message)])


def _values(block: ActiveCampaignAccount, account: str, variables: Sequence[str]) -> dict[str, Any]:
    """Return the non-empty fields of the block by the names of their variables."""
    fields = {
        "url": block.url,
        "key": block.key.get_secret_value(),
        "rate_limit": block.rate_limit,
        "database_url": block.database_url and block.database_url.get_secret_value(),
        "datasets": block.datasets,
        "exclude": block.exclude,
        "hashed": block.hashed,
        "database_schema": block.database_schema or account.replace("-", "_"),
    }
    return {
        name: fields[field]
        for name, field in FIELDS.items()
        if name in variables and fields[field] is not None and str(fields[field]).strip()
    }


def _name_field(problem: SettingsProblem, account: str) -> SettingsProblem:
    field = FIELDS.get(problem.name)
    return replace(problem, name=f"{field} of the block {account}") if field else problem
