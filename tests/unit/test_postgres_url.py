"""Every URL that hosts and libraries print is turned into one that libpq accepts."""

import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from acsync.errors import SettingsError
from acsync.postgres_url import parse_postgres_url
from acsync.settings import read_database_settings


def libpq_options(url: str) -> dict[str, object]:
    """Return the options that SQLAlchemy passes to libpq for a URL."""
    _, options = PGDialect_psycopg2().create_connect_args(make_url(parse_postgres_url(url)))  # type: ignore[no-untyped-call]
    return dict(options)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (
            "postgresql://me@h1:5432,h2:5433/db?target_session_attrs=read-write",
            {
                "host": "h1,h2",
                "port": "5432,5433",
                "user": "me",
                "dbname": "db",
                "target_session_attrs": "read-write",
            },
        ),
        ("postgres://h1,h2/db", {"host": "h1,h2", "port": "5432,5432", "dbname": "db"}),
        ("postgres://[::1]:6000,h2/db", {"host": "::1,h2", "port": "6000,5432", "dbname": "db"}),
        ("postgres://%2Frun%2FA/db", {"host": "/run/A", "port": "5432", "dbname": "db"}),
        ("postgres://@/db?host=h1:1&host=h2:2", {"host": "h1,h2", "port": "1,2", "dbname": "db"}),
    ],
)
def test_a_url_may_name_several_hosts(url: str, options: dict[str, object]) -> None:
    """Failover tools print such URLs, and urlsplit reads the list as one port."""
    assert libpq_options(url) == options


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("schema=public", {}),
        ("schema=public&connection_limit=1&sslmode=require", {"sslmode": "require"}),
        ("pgbouncer=true&supa=base-pooler.x", {}),
        ("client_encoding=latin1", {}),
        ("ssl=true", {"sslmode": "require"}),
        ("ssl=false", {"sslmode": "disable"}),
        ("sslmode=no-verify&uselibpqcompat=true", {"sslmode": "require"}),
        ("sslmode=verify-full&sslrootcert=/a%20b", {"sslmode": "verify-full"}),
        ("options=endpoint%3Dab-c", {"options": "endpoint=ab-c"}),
    ],
)
def test_options_of_other_libraries_are_translated(query: str, options: dict[str, object]) -> None:
    """Prisma, node-postgres, JDBC and asyncpg have options that libpq refuses."""
    seen = libpq_options(f"postgresql://h/db?{query}")

    assert {name: seen[name] for name in seen.keys() - {"host", "dbname", "sslrootcert"}} == options


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgres://me:pa55%00word@h/db", "holds %00"),
        ("postgres://me:pa55\udcffword@h/db", "holds %00 or bytes that are not UTF-8"),
        ("postgres://me:pa55word@h/db?ssl=maybe", "has an unknown ssl: write sslmode=require"),
        ("postgres://me:pa55word@h1:1,h2:port/db", "is not a URL: check its hosts and ports"),
        ("postgres://me:pa55word@h1,/db", "is not a URL: check its hosts and ports"),
        ("postgres://me:pa55word@h:port/db", "is not a URL: check its host and port"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(url: str, problem: str) -> None:
    """Without this check, some of them end in a traceback of the driver."""
    with pytest.raises(SettingsError, match=problem) as refusal:
        read_database_settings(POSTGRES_URL=url)

    assert "pa55" not in f"{refusal.value!r} {refusal.value}"


def test_a_normalized_url_stays_as_it_is() -> None:
    """Settings can be read from values that were read before."""
    url = parse_postgres_url("postgres://u:p%40s@h1,h2:1/db#x?sslmode=no-verify&host=/tmp")

    assert parse_postgres_url(url) == url
