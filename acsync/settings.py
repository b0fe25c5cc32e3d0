"""Read the environment once, into one frozen object, and report all its problems together."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from platformdirs import user_data_path
from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from acsync.datasets import DATASETS, RELATIONS, DatasetName, ListingName, RelationName
from acsync.errors import SettingsError, SettingsProblem
from acsync.postgres_url import parse_postgres_url

S = TypeVar("S", bound=BaseSettings)

SIDELOADS = "ACSYNC_SIDELOADS"

LOOPBACK = ("localhost", "127.0.0.1", "::1")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=36_500)


def parse_account_url(text: str) -> str:
    """Return the base URL `https://HOST/api/3` for any form people paste."""
    if "://" not in text:
        text = f"https://{text}"
    parts = _split(text)
    path = re.sub(r"(/api(/3)?)?/*$", "", parts.path)
    if parts.scheme not in ("http", "https") or not parts.hostname or path:
        raise ValueError("is not an account's URL: it looks like https://ACCOUNT.api-us1.com.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("holds more than scheme and host: remove the rest.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("would send the key unencrypted: use https.")
    return f"{parts.scheme}://{parts.netloc}/api/3"


def parse_api_key(text: str) -> str:
    """Refuse what cannot be an HTTP header, without repeating it."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("holds blanks or letters no key has: copy it again.")
    return text


def parse_secret(text: str | SecretStr) -> str | SecretStr:
    """Refuse a secret that no HTTP client can send, without repeating it."""
    if isinstance(text, str) and not re.fullmatch(r"[\x20-\x7e]+", text):
        raise ValueError("holds letters that HTTP headers cannot carry: use ASCII only.")
    return text


def parse_schema(text: str) -> str:
    """Accept what Postgres keeps as it is: at most 63 letters, digits and underscores."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", text) or text.startswith("pg_"):
        raise ValueError(
            "is not a schema name acsync can use: take up to 63 small letters, digits and _."
        )
    return text


def parse_datasets(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the datasets of a list such as `contacts,deals`, in the order they are copied."""
    names = given.split(",") if isinstance(given, str) else given
    named = {name.strip() for name in names}
    if not named <= DATASETS.keys():
        raise ValueError(f"is {given!r}: write contacts,deals, or one of them.")
    return tuple(name for name in DATASETS if name in named)


def parse_relations(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return what comes along with contacts, of a list such as `tags,lists`; empty for nothing."""
    names = given.split(",") if isinstance(given, str) else given
    named = {name.strip() for name in names} - {""}
    if not named <= RELATIONS.keys():
        raise ValueError(f"is {given!r}: write tags,lists, or one of them, or nothing.")
    return tuple(name for name in RELATIONS if name in named)


def parse_duration(text: str | timedelta) -> timedelta:
    """Read `900s`, `30m`, `2h` or `1d`; at most 100 years, since Postgres has no later times."""
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if match is None:
        raise ValueError(f"is {text!r}: write 900s, 30m or 2h.")
    duration = timedelta(**{UNITS[match[2]]: int(match[1])})
    if duration > LONGEST:
        raise ValueError(f"is {text!r}: write at most {LONGEST.days}d, which is 100 years.")
    return duration


def parse_kept(given: str | int | timedelta) -> int | timedelta:
    """Read how many successful syncs are kept, from 1 to 10,000, or for how long: `30d`, `12h`."""
    text = str(given).strip()
    if isinstance(given, timedelta):
        return given
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 10_000:
        return int(text)
    try:
        kept = parse_duration(text)
    except ValueError:
        kept = timedelta(0)
    if kept <= timedelta(0):
        raise ValueError(
            f"is {text!r}: write a number of syncs from 1 to 10000, or an age such as 12h or 30d, "
            f"at most {LONGEST.days}d."
        )
    return kept


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL: check its host and port.") from None
    return parts


AccountUrl = Annotated[str, BeforeValidator(parse_account_url)]
ApiKey = Annotated[SecretStr, BeforeValidator(parse_api_key)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(parse_postgres_url)]
Secret = Annotated[SecretStr, BeforeValidator(parse_secret)]
SchemaName = Annotated[str, BeforeValidator(parse_schema)]
Datasets = Annotated[tuple[DatasetName, ...], BeforeValidator(parse_datasets)]
Relations = Annotated[tuple[RelationName, ...], BeforeValidator(parse_relations)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Kept = Annotated[int | timedelta, BeforeValidator(parse_kept)]
Folder = Annotated[Path, BeforeValidator(lambda path: Path(path).expanduser())]


class _Environment(PydanticBaseSettingsSource):
    """The environment; an empty value is unset.

    Unlike pydantic's own source it leaves a name as it is: a problem says DATABASE_URL where that
    was read.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # nobody asks for one field

    def __call__(self) -> dict[str, Any]:
        return {
            name: text.strip()
            for name, text in os.environ.items()
            if text.strip() or name == SIDELOADS  # empty, it means none
        }


class _Variables(BaseSettings):
    """Values that are given by name come before those of the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, validate_default=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # replaced by ours
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # not read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # not read
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)


class DatabaseSettings(_Variables):
    """What is copied and where the copy lives; enough for commands that never call the API.

    `database_url` is None for the embedded Postgres in `data_dir`.
    """

    datasets: Datasets = Field(tuple(DATASETS), validation_alias="ACSYNC_DATASETS")

    database_url: DatabaseUrl | None = Field(
        None, validation_alias=AliasChoices("POSTGRES_URL", "DATABASE_URL")
    )
    schema_name: SchemaName = Field("public", validation_alias="ACSYNC_SCHEMA")
    data_dir: Folder = Field(user_data_path("acsync"), validation_alias="ACSYNC_DATA_DIR")


class AlertSettings(_Variables):
    """Where failure alerts go; None where nobody gets any."""

    alert_url: SecretStr | None = Field(None, validation_alias="ACSYNC_ALERT_URL")


class LogSettings(_Variables):
    """How log lines look."""

    log_format: Literal["text", "json"] = Field("text", validation_alias="ACSYNC_LOG_FORMAT")


class WebSettings(DatabaseSettings):
    """What the HTTP service needs: where the copy lives, and who may ask.

    Without `cron_secret` nobody may start a sync; `private` asks for it everywhere.
    """

    cron_secret: Secret | None = Field(None, validation_alias="CRON_SECRET")
    private: bool = Field(False, validation_alias="ACSYNC_PRIVATE")

    @field_validator("private")
    @classmethod
    def _needs_secret(cls, private: bool, info: ValidationInfo) -> bool:
        if private and info.data.get("cron_secret") is None:
            raise ValueError("closes the service to everyone without CRON_SECRET: set that too.")
        return private


class Settings(DatabaseSettings, AlertSettings):
    """One account, one database, one schema.

    `rate_limit` is in calls per second for the whole account, `page_size` in records,
    `keep_syncs` in successful syncs or their age, `max_shrink` a share from 0 to 1. Without
    `max_duration` a sync has the larger of 30 minutes and three times what its calls take.
    """

    account_url: AccountUrl = Field(validation_alias="AC_API_URL")
    api_key: ApiKey = Field(validation_alias="AC_API_KEY")
    rate_limit: float = Field(10.0, ge=0.1, le=1000, validation_alias="AC_RATE_LIMIT")
    page_size: int = Field(100, ge=2, le=1000, validation_alias="LIMIT_PER_PAGE")
    keep_syncs: Kept = Field(5, validation_alias="ACSYNC_KEEP_SYNCS")
    sideloads: Relations = Field(tuple(RELATIONS), validation_alias=SIDELOADS)
    max_shrink: float = Field(0.2, ge=0, le=1, validation_alias="ACSYNC_MAX_SHRINK")
    max_duration: Duration | None = Field(
        None, gt=timedelta(0), validation_alias="ACSYNC_MAX_DURATION"
    )

    @property
    def database(self) -> DatabaseSettings:
        """The part that names the database."""
        return self

    def relations(self, name: DatasetName) -> tuple[RelationName, ...]:
        """Return what should come along with each record of a dataset."""
        return tuple(one for one in DATASETS[name].relations if one in self.sideloads)

    def needs(self, name: DatasetName) -> tuple[ListingName, ...]:
        """Return the listings that explain the records of a dataset."""
        left_out = {*DATASETS[name].relations} - {*self.sideloads}
        return tuple(need for need in DATASETS[name].needs if need not in left_out)

    @property
    def account_host(self) -> str:
        """Host and port of the account, as shown in tags and messages."""
        return urlsplit(self.account_url).netloc

    @property
    def account_name(self) -> str:
        """What the account is known by for ever: its host; a simulated one's port changes."""
        host = urlsplit(self.account_url).hostname or ""
        return "a simulated account" if host in LOOPBACK else host


def read_settings(**given: Any) -> Settings:
    """Read every setting; raises SettingsError naming each variable that is missing or wrong.

    `given` are values by their variables, which come before those of the environment.
    """
    return _read(Settings, given)


def read_database_settings(**given: Any) -> DatabaseSettings:
    """Read only what a connection to Postgres needs; raises SettingsError."""
    return _read(DatabaseSettings, given)


def read_web_settings(**given: Any) -> WebSettings:
    """Read what the HTTP service needs; raises SettingsError."""
    return _read(WebSettings, given)


def read_log_format() -> Literal["text", "json"]:
    """Read only how log lines look; raises SettingsError."""
    return _read(LogSettings, {}).log_format


def read_alert_url() -> str | None:
    """Read only where alerts go; None where nobody gets any."""
    url = _read(AlertSettings, {}).alert_url
    return url.get_secret_value() if url else None


def _read(kind: type[S], given: dict[str, Any]) -> S:
    try:
        return kind(**given)
    except ValidationError as error:
        problems = [
            SettingsProblem(str(problem["loc"][0]), _message(problem)) for problem in error.errors()
        ]
        raise SettingsError(problems) from None


def _message(problem: Any) -> str:
    if problem["type"] == "missing":
        return "is not set: copy it from Settings, Developer in ActiveCampaign."
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    # Only numbers and choices get here, and none of them is a secret.
    return f"is {problem['input']!r}: {problem['msg'].replace('Input', 'it')}."
