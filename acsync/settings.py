"""Read the environment into one frozen object, and report all problems together."""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from acsync.datasets import DATASETS, RELATIONS, DatasetName, ListingName, RelationName
from acsync.errors import SettingsError, SettingsProblem
from acsync.private_fields import NOT_HASHABLE, PrivacySettings
from acsync.schedule import DEFAULT_INTERVAL
from acsync.setting_types import (
    LOOPBACK,
    SHORTEST_INCREMENTAL,
    AccountUrl,
    AlertUrl,
    ApiKey,
    DatabaseUrl,
    Datasets,
    Duration,
    FieldNames,
    Folder,
    FullInterval,
    HashKey,
    Kept,
    Relations,
    SchemaName,
    Secret,
    WithDealEvents,
    format_duration,
)

SIDELOADS = "ACSYNC_SIDELOADS"

# Variables that are read together. A command fails only for those that it needs.
CREDENTIALS = ("AC_API_URL", "AC_API_KEY")
DATABASE = ("ACSYNC_DATASETS", "POSTGRES_URL", "DATABASE_URL", "ACSYNC_SCHEMA", "ACSYNC_DATA_DIR")
SERVICE = ("AC_API_URL", "CRON_SECRET", "ACSYNC_PRIVATE")
LOGS = ("ACSYNC_LOG_FORMAT",)
SCHEDULE = ("ACSYNC_INTERVAL", "ACSYNC_INCREMENTAL_INTERVAL")
PRIVACY = ("ACSYNC_EXCLUDE", "ACSYNC_HASH", "ACSYNC_HASH_KEY", "ACSYNC_NEW_FIELDS")
ACCOUNT = (
    *CREDENTIALS,
    *PRIVACY,
    "AC_RATE_LIMIT",
    "LIMIT_PER_PAGE",
    "ACSYNC_KEEP_SYNCS",
    SIDELOADS,
    "ACSYNC_MAX_SHRINK",
    "ACSYNC_MAX_DURATION",
    "ACSYNC_ALERT_URL",
    "ACSYNC_INTERVAL",
)


class Settings(BaseModel):
    """One account, one database, one schema, and the service that shows them.

    The account's fields are empty for commands that never call it. `database_url` is None for the
    embedded Postgres in `data_dir`. `rate_limit` is in calls per second for the whole account,
    `page_size` in records, `keep_syncs` in successful syncs or their age, `max_shrink` a share from
    0 to 1. `max_duration` is by default 30 minutes, or three times what the calls take, whichever
    is longer. `interval` is None if it is not set: then the one in the database is in force, and
    `acsync deploy` takes 15 minutes. Without `cron_secret` nobody can start a sync by HTTP; if
    `private`, every page requires it. `excluded` and `hashed` are names of fields.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    datasets: Datasets = Field(tuple(DATASETS), validation_alias="ACSYNC_DATASETS")
    deal_events: WithDealEvents = Field(False, validation_alias="ACSYNC_DATASETS")
    database_url: DatabaseUrl | None = Field(
        None, validation_alias=AliasChoices("POSTGRES_URL", "DATABASE_URL")
    )
    schema_name: SchemaName = Field("public", validation_alias="ACSYNC_SCHEMA")
    data_dir: Folder = Field(user_data_path("acsync"), validation_alias="ACSYNC_DATA_DIR")

    account_url: AccountUrl = Field("", validation_alias="AC_API_URL")
    api_key: ApiKey = Field(SecretStr(""), validation_alias="AC_API_KEY")
    rate_limit: float = Field(10.0, ge=0.1, le=1000, validation_alias="AC_RATE_LIMIT")
    page_size: int = Field(100, ge=2, le=1000, validation_alias="LIMIT_PER_PAGE")
    keep_syncs: Kept = Field(timedelta(days=30), validation_alias="ACSYNC_KEEP_SYNCS")
    sideloads: Relations = Field(tuple(RELATIONS), validation_alias=SIDELOADS)
    max_shrink: float = Field(0.2, ge=0, le=1, validation_alias="ACSYNC_MAX_SHRINK")
    max_duration: Duration | None = Field(
        None, gt=timedelta(0), validation_alias="ACSYNC_MAX_DURATION"
    )
    interval: FullInterval | None = Field(None, validation_alias="ACSYNC_INTERVAL")
    incremental_interval: Duration | None = Field(
        None, validation_alias="ACSYNC_INCREMENTAL_INTERVAL"
    )

    excluded: FieldNames = Field((), validation_alias="ACSYNC_EXCLUDE")
    hash_key: HashKey | None = Field(None, validation_alias="ACSYNC_HASH_KEY")
    hashed: FieldNames = Field((), validation_alias="ACSYNC_HASH")
    new_fields: Literal["copy", "hold"] = Field("copy", validation_alias="ACSYNC_NEW_FIELDS")

    cron_secret: Secret | None = Field(None, validation_alias="CRON_SECRET")
    private: bool = Field(False, validation_alias="ACSYNC_PRIVATE")
    alert_url: AlertUrl | None = Field(None, validation_alias="ACSYNC_ALERT_URL")
    log_format: Literal["text", "json"] = Field("text", validation_alias="ACSYNC_LOG_FORMAT")

    @field_validator("incremental_interval")
    @classmethod
    def _is_shorter(cls, duration: timedelta, info: ValidationInfo) -> timedelta:
        interval = info.data.get("interval") or DEFAULT_INTERVAL
        if not SHORTEST_INCREMENTAL <= duration < interval:
            raise ValueError(
                f"is '{format_duration(duration)}': write at least 30s, and less than "
                f"ACSYNC_INTERVAL, which is {format_duration(interval)}."
            )
        return duration

    @field_validator("hashed")
    @classmethod
    def _can_be_hashed(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names and info.data.get("hash_key", "") is None:
            raise ValueError(
                "needs a key: set ACSYNC_HASH_KEY, for example by openssl rand -hex 32"
            )
        if twice := {*names} & {*info.data.get("excluded", ())}:
            raise ValueError(f"names {min(twice)}, which ACSYNC_EXCLUDE names too: choose one.")
        if unfit := {*names} & NOT_HASHABLE:
            raise ValueError(f"names {min(unfit)}, which can only be left out: use ACSYNC_EXCLUDE.")
        return names

    @field_validator("private")
    @classmethod
    def _needs_secret(cls, private: bool, info: ValidationInfo) -> bool:
        if private and info.data.get("cron_secret") is None:
            raise ValueError("locks everyone out without CRON_SECRET: set that too.")
        return private

    def relations(self, dataset: DatasetName) -> tuple[RelationName, ...]:
        """Return the relations to read with each record of a dataset."""
        return tuple(
            name
            for name in DATASETS[dataset].relations
            if name in self.sideloads and f"{dataset}.{name}" not in self.excluded
        )

    def needs(self, name: DatasetName) -> tuple[ListingName, ...]:
        """Return the listings that explain the records of a dataset."""
        left_out: list[str] = [
            need for need in DATASETS[name].relations if need not in self.relations(name)
        ]
        left_out += ["users"] if "deals.owner" in self.excluded else []
        return tuple(need for need in DATASETS[name].needs if need not in left_out)

    def privacy(self, dataset: DatasetName) -> PrivacySettings:
        """Return what to leave out of a dataset, and what to hash."""
        left_out, hashed = (
            tuple(
                field.removeprefix(f"{dataset}.")
                for field in fields
                if field.startswith(f"{dataset}.")
            )
            for fields in (self.excluded, self.hashed)
        )
        key = self.hash_key.get_secret_value().encode() if self.hash_key else b""
        return PrivacySettings(dataset, left_out, hashed, key, self.new_fields == "hold")

    @property
    def account_host(self) -> str:
        """Host and port of the account, for tags and messages."""
        return urlsplit(self.account_url).netloc

    @property
    def account_name(self) -> str:
        """The account's permanent name: its host. (The port of a simulated account changes.)"""
        host = urlsplit(self.account_url).hostname or ""
        return "a simulated account" if host in LOOPBACK else host


def read_settings(variables: Iterable[str] = DATABASE + ACCOUNT, **values: Any) -> Settings:
    """Read these variables; raises SettingsError naming each one that is missing or wrong.

    The others keep their defaults. `values`, by the names of their variables, override the
    environment, in which an empty variable counts as unset.
    """
    texts = {name: os.environ.get(name, "").strip() for name in variables}
    required = CREDENTIALS if "AC_API_KEY" in texts else ()
    present = {name: text for name, text in texts.items() if text or name in required}
    if SIDELOADS in texts and SIDELOADS in os.environ:
        present[SIDELOADS] = texts[SIDELOADS]  # an empty list means none
    try:
        return Settings.model_validate(present | values)
    except ValidationError as error:
        problems = [
            SettingsProblem(str(problem["loc"][0]), _message(problem)) for problem in error.errors()
        ]
        raise SettingsError(problems) from None


def read_together(*reads: Callable[[], Any]) -> list[Any]:
    """Call all of these and return their results; raises SettingsError with the problems of all."""
    results, problems = list[Any](), list[SettingsProblem]()
    for read in reads:
        try:
            results.append(read())
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(list(dict.fromkeys(problems)))
    return results


def variable_names() -> set[str]:
    """Return the names of all variables that acsync reads."""
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    return {
        str(name)
        for alias in aliases
        for name in (alias.choices if isinstance(alias, AliasChoices) else [alias])
    }


def read_database_settings(**values: Any) -> Settings:
    """Read only datasets and database; raises SettingsError."""
    return read_settings(DATABASE, **values)


def read_log_format() -> Literal["text", "json"]:
    """Read only the format of log lines; raises SettingsError."""
    return read_settings(LOGS).log_format


def read_alert_url() -> str | None:
    """Read only the URL for alerts, if any; raises SettingsError."""
    url = read_settings(["ACSYNC_ALERT_URL"]).alert_url
    return url.get_secret_value() if url else None


def _message(problem: Any) -> str:
    if problem["loc"][0] in CREDENTIALS and not problem["input"]:
        return "is not set: copy it from Settings, Developer in ActiveCampaign."
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    # Only numbers and choices get here, so the value is no secret.
    return f"is {problem['input']!r}: {problem['msg'].replace('Input', 'it')}."
