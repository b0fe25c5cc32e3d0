"""Let one deployment an account serve several: each account's credentials are a Prefect block.

What a block leaves out comes from the environment, and so do the settings all accounts share.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, cast

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound
from pydantic import Field, SecretStr

from acsync.errors import SettingsError, SettingsProblem
from acsync.settings import Settings, read_settings

VARIABLES = {
    "AC_API_URL": "url",
    "AC_API_KEY": "key",
    "AC_RATE_LIMIT": "rate_limit",
    "POSTGRES_URL": "database_url",
    "ACSYNC_SCHEMA": "database_schema",
}
"""The variables that a block stands for, and its fields."""


class ActiveCampaignAccount(Block):
    """One account to copy, and where to: its own schema, lease, budget, log and views."""

    _block_type_name: ClassVar[str | None] = "ActiveCampaign account"
    _block_type_slug: ClassVar[str | None] = "activecampaign-account"
    _description: ClassVar[str | None] = (
        "An account that acsync copies; choose it with the flow's parameter `account`."
    )

    url: str = Field(description="https://ACCOUNT.api-us1.com")
    key: SecretStr = Field(description="Its API key, from Settings, Developer.")
    rate_limit: float = Field(default=10, description="Calls a second for the whole account.")
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://USER:PASSWORD@HOST/DATABASE, else POSTGRES_URL."
    )
    database_schema: str | None = Field(
        default=None, description="The schema of this account alone, else the block's name."
    )


def account_environment(account: str | None) -> Mapping[str, str]:
    """Give the environment as `account` sees it; the plain one for None.

    Raises SettingsError where no such block is saved.
    """
    if account is None:
        return os.environ
    slug = f"{ActiveCampaignAccount.get_block_type_slug()}/{account}"
    try:
        block = cast(ActiveCampaignAccount, ActiveCampaignAccount.load(account))
    except (ValueError, ObjectNotFound):
        raise SettingsError(
            [
                SettingsProblem(
                    f"The block {slug}",
                    "is not saved on the Prefect API in use. Register its type with prefect block "
                    "register --module flows.blocks, and make one in the UI under Blocks.",
                )
            ]
        ) from None
    fields = {
        "url": block.url,
        "key": block.key.get_secret_value(),
        "rate_limit": f"{block.rate_limit:g}",
        "database_url": block.database_url.get_secret_value() if block.database_url else "",
        "database_schema": block.database_schema or account.replace("-", "_"),
    }
    given = {name: fields[field] for name, field in VARIABLES.items() if fields[field]}
    return {**os.environ, **given}


def read_account_settings(account: str | None) -> Settings:
    """Read the settings of an account; raises SettingsError naming the block's fields."""
    environment = account_environment(account)
    try:
        return read_settings(environment)
    except SettingsError as error:
        if account is None:
            raise
        raise SettingsError([_name_field(problem, account) for problem in error.problems]) from None


def _name_field(problem: SettingsProblem, account: str) -> SettingsProblem:
    field = VARIABLES.get(problem.name)
    return replace(problem, name=f"{field} of the block {account}") if field else problem
