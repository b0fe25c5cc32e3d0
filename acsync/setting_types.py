"""The types of settings: how each text is read, and why one is refused."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, SecretStr

from acsync.datasets import DATASETS, RELATIONS, DatasetName, RelationName
from acsync.postgres_url import parse_postgres_url
from acsync.private_fields import LEAST_KEY_CHARACTERS, parse_field_names

# Not copied like contacts and deals: a log that is read on from its last position.
DEAL_EVENTS = "deal_events"

LOOPBACK = ("localhost", "127.0.0.1", "::1")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=36_500)

# A full sync takes minutes, and the run of an incremental one some seconds to start.
SHORTEST_INTERVAL, LONGEST_INTERVAL = timedelta(minutes=1), timedelta(days=7)
SHORTEST_INCREMENTAL = timedelta(seconds=30)


def parse_account_url(text: str) -> str:
    """Return the base URL `https://HOST/api/3`, also for a bare host or another path of the API."""
    if "://" not in text:
        text = f"https://{text}"
    parts = _split(text)
    path = re.sub(r"(/api(/3)?)?/*$", "", parts.path)
    host = parts.hostname or ""
    is_host = host in LOOPBACK or "." in host or ":" in host
    if parts.scheme not in ("http", "https") or not is_host or path:
        raise ValueError("is not an account's URL, which looks like https://ACCOUNT.api-us1.com.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("contains more than scheme and host: remove the rest.")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("would send the key unencrypted: use https.")
    return f"{parts.scheme}://{parts.netloc}/api/3"


def parse_api_key(text: str) -> str:
    """Refuse a key that cannot be an HTTP header, without quoting it."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("contains characters that no key has: copy it again.")
    return text


def parse_secret(text: str | SecretStr) -> str | SecretStr:
    """Refuse a secret that no HTTP client can send, without quoting it."""
    if isinstance(text, str) and not re.fullmatch(r"[\x20-\x7e]+", text):
        raise ValueError("contains characters that HTTP headers cannot carry: use ASCII only.")
    return text


def parse_hash_key(text: str | SecretStr) -> str | SecretStr:
    """Refuse a key that is easy to guess, without quoting it."""
    if isinstance(text, str) and len(text) < LEAST_KEY_CHARACTERS:
        raise ValueError(
            f"is shorter than {LEAST_KEY_CHARACTERS} characters: make one with openssl rand -hex 32"
        )
    return text


def parse_alert_url(text: str | SecretStr) -> str | SecretStr:
    """Refuse what is no URL, without quoting it; `acsync deploy` asks Apprise about the rest."""
    if isinstance(text, str) and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ValueError("is not a URL: write a webhook (https://...) or a URL of Apprise.")
    return text


def parse_schema(text: str) -> str:
    """Accept names that need no quotes in SQL: up to 63 small letters, digits and underscores."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", text) or text.startswith("pg_"):
        raise ValueError(
            "is not a schema name acsync can use: write up to 63 small letters, digits and _."
        )
    return text


def parse_datasets(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Read a list of datasets such as `contacts,deals`."""
    names = _split_list(value)
    if not names - {DEAL_EVENTS} <= DATASETS.keys():
        raise ValueError(
            f"is {value!r}: write contacts,deals, or one of them, and deal_events after deals."
        )
    if DEAL_EVENTS in names and "deals" not in names:
        raise ValueError(f"is {value!r}: deal_events needs deals, so write deals,deal_events.")
    return tuple(name for name in DATASETS if name in names)


def parse_deal_events(value: str | bool) -> bool:
    """Return whether a list of datasets names the optional deal_events."""
    return value if isinstance(value, bool) else DEAL_EVENTS in _split_list(value)


def parse_relations(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Read a list of relations of contacts such as `tags,lists`; it can be empty."""
    names = _split_list(value) - {""}
    if not names <= RELATIONS.keys():
        raise ValueError(f"is {value!r}: write tags,lists, or one of them, or nothing.")
    return tuple(name for name in RELATIONS if name in names)


def _split_list(value: str | tuple[str, ...]) -> set[str]:
    return {name.strip() for name in (value.split(",") if isinstance(value, str) else value)}


def parse_duration(text: str | timedelta) -> timedelta:
    """Read `900s`, `30m`, `2h` or `1d`, at most 100 years to stay within Postgres's dates."""
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if match is None:
        raise ValueError(f"is {text!r}: write 900s, 30m or 2h.")
    duration = timedelta(**{UNITS[match[2]]: int(match[1])})
    if duration > LONGEST:
        raise ValueError(f"is {text!r}: write at most {LONGEST.days}d, which is 100 years.")
    return duration


def parse_interval(text: str | timedelta) -> timedelta:
    """Read how often full syncs run: from a minute to a week."""
    interval = parse_duration(text)
    if not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
        raise ValueError(f"is {text!r}: write 1m to 7d, such as 15m or 6h.")
    return interval


def parse_kept(value: str | int | timedelta) -> int | timedelta:
    """Read a number of syncs to keep, from 1 to 10,000, or an age such as `30d` or `12h`."""
    text = str(value).strip()
    if isinstance(value, timedelta):
        return value
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


def format_kept(keep: int | timedelta) -> str:
    """Return the text that `parse_kept` reads."""
    return format_duration(keep) if isinstance(keep, timedelta) else str(keep)


def format_duration(duration: timedelta) -> str:
    """Return the text that `parse_duration` reads."""
    lengths = {unit: timedelta(**{name: 1}) for unit, name in UNITS.items()}
    unit = next(unit for unit in reversed(UNITS) if not duration % lengths[unit])
    return f"{duration // lengths[unit]}{unit}"


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
HashKey = Annotated[SecretStr, BeforeValidator(parse_hash_key)]
FieldNames = Annotated[tuple[str, ...], BeforeValidator(parse_field_names)]
AlertUrl = Annotated[SecretStr, BeforeValidator(parse_alert_url)]
SchemaName = Annotated[str, BeforeValidator(parse_schema)]
Datasets = Annotated[tuple[DatasetName, ...], BeforeValidator(parse_datasets)]
WithDealEvents = Annotated[bool, BeforeValidator(parse_deal_events)]
Relations = Annotated[tuple[RelationName, ...], BeforeValidator(parse_relations)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
FullInterval = Annotated[timedelta, BeforeValidator(parse_interval)]
Kept = Annotated[int | timedelta, BeforeValidator(parse_kept)]
Folder = Annotated[Path, BeforeValidator(lambda path: Path(path).expanduser())]
