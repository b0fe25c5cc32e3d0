"""Read the environment once, into one frozen object, and report all its problems together."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from platformdirs import user_data_path

from acsync.errors import SettingsError, SettingsProblem

T = TypeVar("T")

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ALERT_URL = "ACSYNC_ALERT_URL"
POSTGRES_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg2")


@dataclass(frozen=True)
class DatabaseSettings:
    """Where the copy lives; enough for commands that never call the API.

    `database_url` is None for the embedded Postgres in `data_dir`.
    """

    database_url: str | None = field(repr=False)
    schema: str
    data_dir: Path


@dataclass(frozen=True)
class Settings:
    """One account, one database, one schema; secrets stay out of `repr`.

    `rate_limit` is in calls per second for the whole account, `page_size` in records,
    `keep_syncs` in successful syncs, `max_shrink` a share from 0 to 1.
    """

    account_url: str
    api_key: str = field(repr=False)
    database: DatabaseSettings
    cron_secret: str | None = field(repr=False)
    rate_limit: float
    page_size: int
    keep_syncs: int
    max_shrink: float
    alert_url: str | None = field(repr=False)

    @property
    def account_host(self) -> str:
        """Host and port of the account, as shown in tags and messages."""
        return urlsplit(self.account_url).netloc


class _Reader:
    """Read variables one by one and remember what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[SettingsProblem] = []

    def text(self, *names: str) -> tuple[str, str]:
        """Give the first of the variables that is set, with its name; an empty value is unset."""
        for name in names:
            if text := self.environment.get(name, "").strip():
                return name, text
        return names[0], ""

    def optional(self, parse: Callable[[str], T], default: T, *names: str) -> T:
        name, text = self.text(*names)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as problem:
            self.problems.append(SettingsProblem(name, str(problem)))
            return default

    def required(self, parse: Callable[[str], str], name: str, remedy: str) -> str:
        if not self.text(name)[1]:
            self.problems.append(SettingsProblem(name, f"is not set: {remedy}"))
        return self.optional(parse, "", name)

    def raise_problems(self) -> None:
        if self.problems:
            raise SettingsError(self.problems)


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read every setting; raises SettingsError naming each variable that is missing or wrong."""
    reader = _Reader(environment)
    developer_page = "copy it from Settings, Developer in ActiveCampaign."
    settings = Settings(
        account_url=reader.required(parse_account_url, "AC_API_URL", developer_page),
        api_key=reader.required(parse_api_key, "AC_API_KEY", developer_page),
        database=_read_database(reader),
        cron_secret=reader.optional(str, None, "CRON_SECRET"),
        rate_limit=reader.optional(
            lambda text: parse_number(text, 0.1, 1000, "calls a second"), 10.0, "AC_RATE_LIMIT"
        ),
        page_size=reader.optional(
            lambda text: parse_count(text, 2, 1000, "records"), 100, "LIMIT_PER_PAGE"
        ),
        keep_syncs=reader.optional(
            lambda text: parse_count(text, 1, 10_000, "syncs"), 5, "ACSYNC_KEEP_SYNCS"
        ),
        max_shrink=reader.optional(
            lambda text: parse_number(text, 0, 1, "of the records"), 0.2, "ACSYNC_MAX_SHRINK"
        ),
        alert_url=reader.optional(str, None, ALERT_URL),
    )
    reader.raise_problems()
    return settings


def read_database_settings(environment: Mapping[str, str] = os.environ) -> DatabaseSettings:
    """Read only what a connection to Postgres needs; raises SettingsError."""
    reader = _Reader(environment)
    settings = _read_database(reader)
    reader.raise_problems()
    return settings


def read_alert_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Read only where alerts go; None where nobody is to be told."""
    return _Reader(environment).optional(str, None, ALERT_URL)


def _read_database(reader: _Reader) -> DatabaseSettings:
    return DatabaseSettings(
        database_url=reader.optional(parse_database_url, None, "POSTGRES_URL", "DATABASE_URL"),
        schema=reader.optional(parse_schema, "public", "ACSYNC_SCHEMA"),
        data_dir=reader.optional(
            lambda text: Path(text).expanduser(), user_data_path("acsync"), "ACSYNC_DATA_DIR"
        ),
    )


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL: check its host and port.") from None
    return parts


def parse_account_url(text: str) -> str:
    """Give the base URL `https://HOST/api/3` for any form people paste."""
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


def parse_database_url(text: str) -> str:
    """Give the URL with its driver named; the query string stays."""
    parts = _split(text)
    if parts.scheme not in POSTGRES_SCHEMES:
        raise ValueError("is not a Postgres URL: it looks like postgresql://USER@HOST/DATABASE.")
    # A password with a bare / ? or # ends up in the database's name, which messages show.
    if "@" in text[len(parts.scheme) + len(parts.netloc) + 3 :]:
        raise ValueError("has an @ behind its host: in a password, write / as %2F, ? as %3F.")
    return "postgresql+psycopg2" + text[len(parts.scheme) :]


def parse_schema(text: str) -> str:
    """Accept what Postgres keeps as it is: at most 63 letters, digits and underscores."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", text) or text.startswith("pg_"):
        raise ValueError(
            "is not a schema name acsync can use: take up to 63 small letters, digits and _."
        )
    return text


def parse_number(text: str, least: float, most: float, unit: str) -> float:
    """Read a number of `unit` within bounds."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise ValueError(f"is {text!r}: give a number from {least:g} to {most:g} {unit}.")
    return number


def parse_count(text: str, least: int, most: int, unit: str) -> int:
    """Read a whole number of `unit` within bounds."""
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f"is {text!r}: give a whole number from {least} to {most} {unit}.")
    return int(text)
