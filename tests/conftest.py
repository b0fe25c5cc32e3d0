"""One real Postgres a test run, and a fresh database a test."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import psycopg2
import pytest
from prefect.client.schemas.objects import State
from prefect.logging.handlers import APILogHandler
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOGGING_LEVEL,
    temporary_settings,
)
from sqlalchemy import make_url

import migrations
from acsync.settings import read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database
from acsync.store.embedded import start_embedded, stop_embedded
from flows.sync_activecampaign import sync_activecampaign
from tests.support.deployment import forget
from tests.support.prefect_server import prefect_server

Sync: TypeAlias = Callable[..., State[Any]]
"""Run the flow in this process, and give its final state."""


@dataclass
class Postgres:
    """A server that makes databases; `template` is migrated, `template1` is empty."""

    url: str
    data_dir: Path
    made: list[str] = field(default_factory=list)

    def execute(self, sql: str) -> None:
        """Run one statement outside any transaction, as CREATE DATABASE asks."""
        host = make_url(self.url).query["host"]
        with closing(psycopg2.connect(host=host, user="postgres", dbname="postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(sql)

    def create(self, template: str) -> str:
        """Copy a template, which takes a tenth of a second, and give the copy's URL."""
        name = f"test_{len(self.made)}"
        self.made.append(name)
        self.execute(f"create database {name} template {template}")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def drop_all(self) -> None:
        """Drop what was created, whoever is still connected."""
        while self.made:
            self.execute(f"drop database if exists {self.made.pop()} with (force)")

    def open(self, url: str, schema: str = "public") -> Database:
        """Open a database as acsync does."""
        return open_database(
            read_database_settings(
                POSTGRES_URL=url, ACSYNC_SCHEMA=schema, ACSYNC_DATA_DIR=self.data_dir
            )
        )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Start the server of the wheel, with one migrated template, and stop it at the end."""
    data_dir = tmp_path_factory.mktemp("postgres")
    server = Postgres(start_embedded(data_dir), data_dir)
    server.execute("create database template_migrated")
    template = make_url(server.url).set(database="template_migrated")
    with closing(server.open(template.render_as_string(hide_password=False))) as database:
        migrations.upgrade(database)
    yield server
    stop_embedded(data_dir)
    shutil.rmtree(data_dir)


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    """Give the URL of a fresh, migrated database; dropped at the end of the run."""
    return postgres.create("template_migrated")


@pytest.fixture
def database(postgres: Postgres, database_url: str) -> Iterator[Database]:
    """Open the fresh, migrated database."""
    with closing(postgres.open(database_url)) as opened:
        yield opened


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[Database]:
    """Open a fresh database without any table of acsync."""
    with closing(postgres.open(postgres.create("template1"))) as opened:
        yield opened


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one Prefect server for the whole run, and point this process at it."""
    home = tmp_path_factory.mktemp("prefect")
    with prefect_server(home) as url:
        updates = {PREFECT_API_URL: url, PREFECT_HOME: home, PREFECT_LOGGING_LEVEL: "CRITICAL"}
        with temporary_settings(updates):
            yield url
            APILogHandler().flush()


@pytest.fixture
def api(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """Point commands at the Prefect server, with nothing deployed there, before and after."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.delenv("ACSYNC_ALERT_URL", raising=False)
    with httpx.Client(base_url=prefect_api, timeout=60) as client:
        forget()
        yield client
        forget()


@pytest.fixture
def options() -> AccountOptions:
    """Take an account of several slices; a test may ask for another by parametrizing this."""
    return AccountOptions(contacts=700, deals=600, rate_limit=None)


@pytest.fixture
def account(options: AccountOptions) -> Account:
    return Account(options)


@pytest.fixture
def sync(
    account: Account,
    database_url: str,
    prefect_api: str,  # noqa: ARG001  # the server that the flow finds in Prefect's settings
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Sync]:
    """Serve the account and give the flow, set up by the environment as a worker is."""
    with serve(account) as url:
        monkeypatch.setenv("AC_API_URL", url)
        monkeypatch.setenv("AC_API_KEY", account.options.api_key)
        monkeypatch.setenv("POSTGRES_URL", database_url)
        monkeypatch.setenv("LIMIT_PER_PAGE", "20")
        monkeypatch.setenv("AC_RATE_LIMIT", "100")
        yield lambda *words, **options: sync_activecampaign(*words, **options, return_state=True)
