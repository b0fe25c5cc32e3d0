"""Calls to this machine never go through a proxy."""

import os

import httpx
import pytest

from acsync.proxies import bypass_for_loopback
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from tests.support.prefect_server import free_port

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without proxies, and restore the environment afterwards."""
    for name in VARIABLES:
        for variable in (name, name.lower()):
            monkeypatch.setenv(variable, "")
            monkeypatch.delenv(variable)


@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_call_to_this_machine_takes_no_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Nothing listens at the proxy's address. Calls to other hosts still go there."""
    monkeypatch.setenv(proxy, f"http://127.0.0.1:{free_port()}")
    with serve(Account(AccountOptions(contacts=1, deals=0))) as url:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
        bypass_for_loopback()

        assert httpx.get(url).status_code == 403
        with pytest.raises(httpx.ConnectError):
            httpx.get("http://proxied.invalid")


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_the_users_exceptions_stay(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In both spellings, since each program reads only one of them."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example")
    monkeypatch.setenv(name, "intranet.example, ::1")

    bypass_for_loopback()

    expected = "intranet.example,::1,localhost,127.0.0.1"
    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == (expected, expected)


def test_without_a_proxy_nothing_is_set() -> None:
    """On macOS, NO_PROXY in the environment hides the proxies of the system."""
    bypass_for_loopback()

    assert not {"NO_PROXY", "no_proxy"} & set(os.environ)
