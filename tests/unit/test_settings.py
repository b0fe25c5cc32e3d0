"""The environment is read once, and all its problems are reported together."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from pydantic import SecretStr

from acsync.errors import SettingsError
from acsync.settings import (
    SCHEDULE,
    SERVICE,
    Settings,
    read_alert_url,
    read_database_settings,
    read_settings,
)

Read: TypeAlias = Callable[..., Settings]

ACCOUNT = {"AC_API_URL": "https://acme.api-us1.com", "AC_API_KEY": "k3y"}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read the settings of a complete account with these changes and no other variables."""

    def read(**variables: str) -> Settings:
        for name in os.environ:
            monkeypatch.delenv(name)
        for name, value in {**ACCOUNT, **variables}.items():
            monkeypatch.setenv(name, value)
        return read_settings()

    return read


def test_two_variables_are_enough(read: Read) -> None:
    """This is the one place with every default of the contract."""
    settings = read(ACSYNC_DATA_DIR="data")

    assert settings.model_dump() == {
        "account_url": "https://acme.api-us1.com/api/3",
        "api_key": SecretStr("k3y"),
        "datasets": ("contacts", "deals"),
        "deal_events": False,
        "database_url": None,
        "schema_name": "public",
        "data_dir": Path("data"),
        "rate_limit": 10.0,
        "page_size": 100,
        "keep_syncs": timedelta(days=30),
        "sideloads": ("tags", "lists"),
        "max_shrink": 0.2,
        "max_duration": None,
        "interval": None,
        "incremental_interval": None,
        "alert_url": None,
        "cron_secret": None,
        "private": False,
        "log_format": "text",
        "excluded": (),
        "hashed": (),
        "hash_key": None,
        "new_fields": "copy",
    }


def test_deal_events_are_read_only_with_deals(read: Read) -> None:
    """They are an optional part of the list of datasets."""
    settings = read(ACSYNC_DATASETS="deals,deal_events")
    assert (settings.datasets, settings.deal_events) == (("deals",), True)

    with pytest.raises(SettingsError, match="deal_events needs deals") as caught:
        read(ACSYNC_DATASETS="contacts,deal_events")
    assert len(caught.value.problems) == 1


def test_all_problems_are_reported_at_once_with_remedies(read: Read) -> None:
    """Otherwise a user corrects one variable at a time and starts the program seven times."""
    with pytest.raises(SettingsError) as caught:
        read(
            AC_API_URL="ftp://acme",
            AC_API_KEY="",
            POSTGRES_URL="mysql://user:pa55word@host/db",
            ACSYNC_SCHEMA="Drop Table",
            AC_RATE_LIMIT="fast",
            LIMIT_PER_PAGE="1",
            ACSYNC_KEEP_SYNCS="0",
            ACSYNC_MAX_SHRINK="nan",
            ACSYNC_ALERT_URL="nons3nse",
        )

    assert [problem.name for problem in caught.value.problems] == [
        "POSTGRES_URL",
        "ACSYNC_SCHEMA",
        "AC_API_URL",
        "AC_API_KEY",
        "AC_RATE_LIMIT",
        "LIMIT_PER_PAGE",
        "ACSYNC_KEEP_SYNCS",
        "ACSYNC_MAX_SHRINK",
        "ACSYNC_ALERT_URL",
    ]
    assert "AC_RATE_LIMIT is 'fast': it should be a valid number" in str(caught.value)
    assert "AC_API_KEY is not set: copy it from Settings, Developer" in str(caught.value)
    assert "nons3nse" not in str(caught.value)
    assert "pa55word" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    "text",
    [
        "https://acme.api-us1.com",
        "https://acme.api-us1.com/",
        "https://acme.api-us1.com/api/3",
        "https://acme.api-us1.com/api/3/",
        "https://acme.api-us1.com/api",
        "acme.api-us1.com",
        "  https://acme.api-us1.com  ",
    ],
)
def test_the_account_url_is_taken_in_every_form_people_paste(read: Read, text: str) -> None:
    """ActiveCampaign shows it without a path, and its documentation with one."""
    assert read(AC_API_URL=text).account_url == "https://acme.api-us1.com/api/3"


@pytest.mark.parametrize(
    "text",
    [
        "http://acme.api-us1.com",
        "https://user:secret@acme.api-us1.com",
        "https://acme.api-us1.com/other",
        "https://acme.api-us1.com?x=1",
        "https://acme:port",
        "example",
        "https://",
    ],
)
def test_an_unsafe_or_invalid_url_is_refused(read: Read, text: str) -> None:
    """Plain http to another host would send the key unencrypted."""
    with pytest.raises(SettingsError, match="AC_API_URL"):
        read(AC_API_URL=text)


def test_plain_http_is_allowed_to_this_machine_only(read: Read) -> None:
    """The simulated account is served there."""
    settings = read(AC_API_URL="http://127.0.0.1:8765/")

    assert settings.account_url == "http://127.0.0.1:8765/api/3"
    assert settings.account_host == "127.0.0.1:8765"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_postgres_schemes_work_and_the_query_string_stays(read: Read, scheme: str) -> None:
    """SQLAlchemy knows only one of them, and from 2.1 takes it as another driver."""
    url = f"{scheme}://u:p%40ss@db.example:6543/app?sslmode=require"

    assert read(POSTGRES_URL=url).database_url == SecretStr(
        "postgresql+psycopg2://u:p%40ss@db.example:6543/app?sslmode=require"
    )


def test_an_empty_value_counts_as_unset(read: Read) -> None:
    """Compose files and CI systems pass empty strings for what is not set."""
    settings = read(POSTGRES_URL="", DATABASE_URL="postgres://h/d", ACSYNC_ALERT_URL=" ")

    assert settings.database_url == SecretStr("postgresql+psycopg2://h/d")
    assert settings.alert_url is None


def test_a_problem_names_the_variable_that_was_read(read: Read) -> None:
    """DATABASE_URL is read if POSTGRES_URL is unset."""
    with pytest.raises(SettingsError, match="DATABASE_URL is not a Postgres URL"):
        read(DATABASE_URL="mysql://h/d")


def test_arguments_come_before_the_environment(read: Read) -> None:
    """They are the values of a block; with None, the embedded Postgres is used."""
    read(POSTGRES_URL="postgres://h/d", DATABASE_URL="postgres://h/d", ACSYNC_SCHEMA="other")

    settings = read_database_settings(POSTGRES_URL=None, ACSYNC_SCHEMA="acme")

    assert (settings.database_url, settings.schema_name) == (None, "acme")


def test_a_command_without_the_api_reads_nothing_of_it(read: Read) -> None:
    """`acsync status` runs on machines without the key."""
    with pytest.raises(SettingsError):
        read(AC_API_KEY="", AC_RATE_LIMIT="fast", ACSYNC_ALERT_URL="https://hooks.example")

    assert read_database_settings().schema_name == "public"
    assert read_alert_url() == "https://hooks.example"


def test_no_secret_shows_in_a_repr(read: Read) -> None:
    """Settings end up in tracebacks and logs."""
    settings = read(
        POSTGRES_URL="postgres://u:pa55word@h/d",
        CRON_SECRET="cr0n",
        ACSYNC_ALERT_URL="https://hooks.example/t0ken",
    )

    for secret in ("k3y", "pa55word", "cr0n", "t0ken"):
        assert secret not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("text", "datasets"),
    [
        ("contacts", ("contacts",)),
        ("deals, contacts", ("contacts", "deals")),
        ("", ("contacts", "deals")),
    ],
)
def test_what_is_copied_can_be_chosen(
    text: str, datasets: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan without CRM has only contacts."""
    monkeypatch.setenv("ACSYNC_DATASETS", text)

    assert read_database_settings().datasets == datasets


def test_a_dataset_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise acsync would silently copy less than the user meant."""
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts,leads")

    with pytest.raises(SettingsError, match="ACSYNC_DATASETS is 'contacts,leads': write contacts"):
        read_database_settings()


@pytest.mark.parametrize("text", ["9999999d", "999999999h", "36501d", "10001"])
def test_an_absurd_time_or_count_is_refused(read: Read, text: str) -> None:
    """Postgres has no time that far back, so the first publication would fail."""
    with pytest.raises(SettingsError, match=f"ACSYNC_KEEP_SYNCS is '{text}': .* at most 36500d"):
        read(ACSYNC_KEEP_SYNCS=text)


def test_every_absurd_duration_is_refused(read: Read) -> None:
    """All durations have the same bound."""
    with pytest.raises(SettingsError, match="ACSYNC_MAX_DURATION is '9999999d': write at most"):
        read(ACSYNC_MAX_DURATION="9999999d")


@pytest.mark.parametrize("text", ["59s", "8d", "0m", "15", "quarterly"])
def test_an_interval_is_a_minute_to_a_week(read: Read, text: str) -> None:
    """A full sync takes minutes, and stale data must be noticed within weeks."""
    with pytest.raises(SettingsError, match=f"ACSYNC_INTERVAL is '{text}': write"):
        read(ACSYNC_INTERVAL=text)

    assert read(ACSYNC_INTERVAL="6h").interval == timedelta(hours=6)


@pytest.mark.parametrize(
    ("incremental", "full", "bound"), [("15m", "", "15m"), ("2h", "1h", "1h"), ("29s", "", "15m")]
)
def test_incremental_syncs_run_more_often_than_full_ones(
    monkeypatch: pytest.MonkeyPatch, incremental: str, full: str, bound: str
) -> None:
    """Otherwise they would cost calls and bring nothing."""
    monkeypatch.setenv("ACSYNC_INCREMENTAL_INTERVAL", incremental)
    monkeypatch.setenv("ACSYNC_INTERVAL", full)

    with pytest.raises(SettingsError, match=f"at least 30s, and less than .* is {bound}"):
        read_settings(SCHEDULE)


@pytest.mark.parametrize("secret", ["geheimnisß", "pass\u2019word", "a\tb", "\u00a0"])
def test_a_secret_that_no_client_can_send_is_refused(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Bearer nor Basic could carry it."""
    monkeypatch.setenv("CRON_SECRET", f"x{secret}x")

    with pytest.raises(SettingsError, match="CRON_SECRET contains characters") as refusal:
        read_settings(SERVICE)

    assert secret not in str(refusal.value)


def test_a_secret_may_have_blanks_and_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every printable ASCII character passes through HTTP."""
    monkeypatch.setenv("CRON_SECRET", 'correct horse: ~!"battery')

    assert read_settings(SERVICE).cron_secret == SecretStr('correct horse: ~!"battery')
