"""The way to the account: a deadline for each exchange, and no open door for the key."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

import pytest

from acsync.activecampaign.client import Client, RequestLimits
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.errors import CallFailed, CallRefused, SettingsError
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from tests.support.prefect_server import free_port

HASTY = RequestLimits(read_timeout_seconds=5, deadline_seconds=0.3, first_wait_seconds=0.01)
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
START = b"HTTP/1.1 200 OK\r\n"


def dripping_headers() -> Iterator[bytes]:
    """Yield a response whose headers never end, a line at a time."""
    yield START
    yield from repeat(b"X-More: of the same\r\n")


def early_hints() -> Iterator[bytes]:
    """Yield interim responses, and never the final one."""
    return repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")


@contextmanager
def raw_server(pieces: Iterable[bytes], pause_seconds: float) -> Iterator[str]:
    """Answer each connection with these pieces and a pause after each; yield the URL."""
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65_536)
                for piece in pieces:
                    connection.sendall(piece)
                    if stopping.wait(pause_seconds):
                        return

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=answer, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopping.set()
            listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *map(str.lower, VARIABLES)):
        monkeypatch.delenv(name, raising=False)


def client_of(url: str, limits: RequestLimits = HASTY) -> Client:
    return Client(f"{url}/api/3/", "the-key", RateLimiter(1000), limits)


@pytest.mark.parametrize(
    "pieces", [dripping_headers(), early_hints()], ids=["dripping headers", "early hints"]
)
def test_headers_that_never_end_are_given_up_at_the_deadline(pieces: Iterator[bytes]) -> None:
    """Each line begins the read timeout again, and no event of httpcore tells of it."""
    began = time.monotonic()
    with raw_server(pieces, pause_seconds=0.02) as url:
        client = client_of(url)
        with pytest.raises(CallFailed, match=r"a response not whole after 0\.3 s"):
            client.get_page("contacts", {}, attempts=1)
        client.close()

    assert 0.3 <= time.monotonic() - began < 5


def test_the_deadline_of_one_call_does_not_end_the_next() -> None:
    """The connection is kept, and so is the thread."""
    account = Account(AccountOptions(contacts=20, deals=0, rate_limit=None))
    with serve(account) as url:
        client = Client(f"{url}/api/3/", account.options.api_key, RateLimiter(1000), HASTY)
        client.get_page("contacts", {})
        time.sleep(HASTY.deadline_seconds)
        assert len(client.get_page("contacts", {}).rows) == 20
        client.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_no_proxy_sees_the_calls_to_this_machine(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They carry the key in plain text, and only this machine may see it."""
    account = Account(AccountOptions(contacts=1, deals=0, rate_limit=None))
    with serve(account) as url, socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.2)
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        client = Client(f"{url}/api/3/", account.options.api_key, RateLimiter(1000))
        assert len(client.get_page("contacts", {}).rows) == 1
        client.close()
        with pytest.raises(TimeoutError):
            proxy.accept()


def test_a_proxy_is_used_for_an_account_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes through it encrypted: the proxy is only asked for a tunnel."""
    refusal = [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"]
    with raw_server(refusal, pause_seconds=0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        client = client_of("https://acme.api-us1.com")
        with pytest.raises(CallFailed, match="ProxyError"):
            client.get_page("contacts", {}, attempts=1)
        client.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("HTTPS_PROXY", "socks5h://127.0.0.1:1080"),
        ("HTTPS_PROXY", "http://"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One paragraph with the variable and the remedy, and no traceback."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=f"{variable} .*Set it to") as caught:
        client_of("https://acme.api-us1.com")

    assert "\n" not in str(caught.value)


def test_no_proxy_lets_an_account_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy that the message names works."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "acme.api-us1.com")

    client_of("https://acme.api-us1.com").close()


@pytest.mark.parametrize("host", ["acme..api-us1.com", f"{'a' * 64}.api-us1.com"])
def test_a_host_that_cannot_exist_is_a_refusal_that_names_the_setting(host: str) -> None:
    """Python raises UnicodeError for an empty or a long label."""
    client = client_of(f"https://{host}")

    with pytest.raises(CallRefused, match="AC_API_URL"):
        client.get_page("contacts", {})

    client.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_unreachable_account_names_its_host_and_variable(scheme: str) -> None:
    """It used to recommend ActiveCampaign's support, after four attempts without a host."""
    with raw_server([b"HTTP/1.1 400 no TLS here\r\n\r\n"], 0) as open_url:
        open_host = open_url.removeprefix("http://")
        host = open_host if scheme == "https" else f"127.0.0.1:{free_port()}"
        client = client_of(f"{scheme}://{host}")
        with pytest.raises(CallFailed) as caught:
            client.get_page("users/me", {}, 1)
        client.close()

    assert f"{host} cannot be reached for GET /api/3/users/me: ConnectError" in str(caught.value)
    assert "Check AC_API_URL" in str(caught.value)
