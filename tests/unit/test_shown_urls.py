"""No address is shown with its login."""

import shlex
from contextlib import closing
from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

from acsync.settings import read_database_settings
from acsync.store.database import open_database
from acsync.web.dashboard import psql_line
from flows.links import api_url, page_url, ui_url

RUN = UUID(int=1)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("postgresql://u:S3CRET@db.example:6543/app", "-h db.example -p 6543 -U u -d app"),
        ("postgresql:///app?host=h&user=u&password=S3CRET&sslpassword=S3CRET", "-h h -U u -d app"),
        ("postgresql://h/app?sslmode=require&sslkey=/S3CRET.key", "-h h -d app"),
        ("postgresql://h?dbname=app&passfile=/S3CRET&service=S3CRET", "-h h -d app"),
        ("postgresql://h/app?options=-c%20x.token%3DS3CRET", "-h h -d app"),
        ("postgresql:///app?host=/run/postgresql", "-h /run/postgresql -d app"),
        ("postgresql:///app?host=a:1&host=b:2", "-h a,b -p 1,2 -d app"),
        ("postgresql://u%3B%20id:S3CRET@h/app", "-h h -U 'u; id' -d app"),
        ("postgresql://", ""),
    ],
)
def test_the_psql_line_shows_host_port_user_and_database(url: str, options: str) -> None:
    """The dashboard is public, and libpq also accepts secrets in the query of a URL."""
    settings = read_database_settings(POSTGRES_URL=url)
    with closing(open_database(settings)) as database:
        line = psql_line(settings, database)

    assert line == f"psql {options}".strip()
    assert shlex.split(line)[0] == "psql"


def test_links_to_prefect_hide_the_login_of_its_api() -> None:
    """Prefect derives the address of its UI from PREFECT_API_URL, with the login."""
    with temporary_settings({PREFECT_API_URL: "https://ops:S3CRET@prefect.example/api"}):
        shown = (api_url(), ui_url(), page_url("flow-run", RUN))

    assert shown == (
        "https://prefect.example/api",
        "https://prefect.example",
        f"https://prefect.example/runs/flow-run/{RUN}",
    )


def test_a_url_without_a_login_is_shown_as_it_is() -> None:
    """An @ after the host is part of the path."""
    settings = {PREFECT_API_URL: "http://h:4200/api", PREFECT_UI_URL: "http://h:4200/a@b"}
    with temporary_settings(settings):
        shown = (api_url(), ui_url(), page_url("flow-run", RUN))

    assert shown == (
        "http://h:4200/api",
        "http://h:4200/a@b",
        f"http://h:4200/a@b/runs/flow-run/{RUN}",
    )


def test_without_an_api_there_is_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect would name the UI of a server that nobody started."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with temporary_settings(restore_defaults={PREFECT_API_URL, PREFECT_UI_URL}):
        assert (api_url(), ui_url()) == (None, None)
