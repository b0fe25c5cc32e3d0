"""The environment is read once, and all its problems are told at once."""

from pathlib import Path

import pytest

from acsync.errors import SettingsError
from acsync.settings import DatabaseSettings, Settings, read_database_settings, read_settings

ACCOUNT = {"AC_API_URL": "https://acme.api-us1.com", "AC_API_KEY": "k3y"}


def test_two_variables_are_enough() -> None:
    """Every default of the contract, in one place."""
    settings = read_settings({**ACCOUNT, "ACSYNC_DATA_DIR": "data"})

    assert settings == Settings(
        account_url="https://acme.api-us1.com/api/3",
        api_key="k3y",
        database=DatabaseSettings(None, "public", Path("data")),
        cron_secret=None,
        rate_limit=10.0,
        page_size=100,
        keep_syncs=5,
        max_shrink=0.2,
        alert_url=None,
    )


def test_all_problems_are_told_at_once_with_their_names_and_remedies() -> None:
    """Who mends one variable at a time starts the program six times."""
    environment = {
        "AC_API_URL": "ftp://acme",
        "POSTGRES_URL": "mysql://user:pa55word@host/db",
        "ACSYNC_SCHEMA": "Drop Table",
        "AC_RATE_LIMIT": "fast",
        "LIMIT_PER_PAGE": "1",
        "ACSYNC_KEEP_SYNCS": "0",
        "ACSYNC_MAX_SHRINK": "nan",
    }

    with pytest.raises(SettingsError) as caught:
        read_settings(environment)

    assert [problem.name for problem in caught.value.problems] == [
        "AC_API_URL",
        "AC_API_KEY",
        "POSTGRES_URL",
        "ACSYNC_SCHEMA",
        "AC_RATE_LIMIT",
        "LIMIT_PER_PAGE",
        "ACSYNC_KEEP_SYNCS",
        "ACSYNC_MAX_SHRINK",
    ]
    assert "pa55word" not in str(caught.value)


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
def test_the_account_url_is_taken_in_every_form_people_paste(text: str) -> None:
    """ActiveCampaign shows it without a path; its documentation with one."""
    assert read_settings({**ACCOUNT, "AC_API_URL": text}).account_url == (
        "https://acme.api-us1.com/api/3"
    )


@pytest.mark.parametrize(
    "text",
    [
        "http://acme.api-us1.com",
        "https://user:secret@acme.api-us1.com",
        "https://acme.api-us1.com/other",
        "https://acme.api-us1.com?x=1",
        "https://acme:port",
        "https://",
    ],
)
def test_a_url_that_could_leak_the_key_or_is_none_is_refused(text: str) -> None:
    """Plain http to a host beyond this machine would send the key in the open."""
    with pytest.raises(SettingsError, match="AC_API_URL"):
        read_settings({**ACCOUNT, "AC_API_URL": text})


def test_plain_http_is_allowed_to_this_machine_only() -> None:
    """The simulated account is served there."""
    settings = read_settings({**ACCOUNT, "AC_API_URL": "http://127.0.0.1:8765/"})

    assert settings.account_url == "http://127.0.0.1:8765/api/3"
    assert settings.account_host == "127.0.0.1:8765"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_postgres_schemes_work_and_the_query_string_stays(scheme: str) -> None:
    """SQLAlchemy knows only one of them, and from 2.1 reads it as another driver."""
    url = f"{scheme}://u:p%40ss@db.example:6543/app?sslmode=require"

    settings = read_database_settings({"POSTGRES_URL": url})

    assert settings.database_url == (
        "postgresql+psycopg2://u:p%40ss@db.example:6543/app?sslmode=require"
    )


def test_an_empty_value_counts_as_unset() -> None:
    """Compose files and CI systems pass empty strings for what is not set."""
    environment = {
        **ACCOUNT,
        "POSTGRES_URL": "",
        "DATABASE_URL": "postgres://h/d",
        "CRON_SECRET": " ",
    }

    settings = read_settings(environment)

    assert settings.database.database_url == "postgresql+psycopg2://h/d"
    assert settings.cron_secret is None


def test_no_secret_shows_in_a_repr() -> None:
    """Frozen objects end up in tracebacks and logs."""
    environment = {
        **ACCOUNT,
        "POSTGRES_URL": "postgres://u:pa55word@h/d",
        "CRON_SECRET": "cr0n",
        "ACSYNC_ALERT_URL": "https://hooks.example/t0ken",
    }

    shown = repr(read_settings(environment))

    for secret in ("k3y", "pa55word", "cr0n", "t0ken"):
        assert secret not in shown
