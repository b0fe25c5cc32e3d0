"""compose.yaml asks for its secrets, opens no port to others, and agrees with `acsync up`."""

import re
from typing import Any

import pytest
import yaml

from acsync.local.environment import LEASE_STORAGE, RETENTION
from tests.support.documents import ROOT


@pytest.fixture
def services() -> dict[str, Any]:
    """Return the services of compose.yaml."""
    file: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return dict(file["services"])


def test_the_prefect_server_is_set_up_as_in_acsync_up(services: dict[str, Any]) -> None:
    """Its database stays small, and a restart of it ends no sync."""
    storage = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE}

    assert services["prefect"]["environment"].items() >= {**RETENTION, **storage}.items()


def test_it_listens_on_this_machine_only(services: dict[str, Any]) -> None:
    """People who reach Prefect can run commands, and the dashboard asks for no password."""
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports == ["127.0.0.1:4200:4200", "127.0.0.1:8000:8000"]


def test_the_server_does_not_know_the_key_of_the_account(services: dict[str, Any]) -> None:
    """It needs no variable of the account."""
    assert "env_file" not in services["prefect"]


def test_every_secret_it_requires_is_in_the_example() -> None:
    """People copy .env.example and fill it in."""
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text()))
    example = set(re.findall(r"^(?:# )?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert required == {"POSTGRES_PASSWORD", "PREFECT_API_AUTH_STRING"}
    assert required <= example
