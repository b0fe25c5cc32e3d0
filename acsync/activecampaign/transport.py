"""Connect to one account: its certificates, its proxy, and a deadline for each exchange.

httpx begins its read timeout again with every byte, also between the lines of a header, so a
server that drips is never cut off. Here each read ends at the deadline of the exchange.
"""

import os
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from acsync.errors import SettingsError, SettingsProblem
from acsync.setting_types import LOOPBACK

# More than the threads of a sync.
MAX_CONNECTIONS = 64
KEEPALIVE_SECONDS = 60.0

CONNECTION_ERRORS = (
    httpx.RequestError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
)

# Raised before anything was sent, also if TLS fails.
NO_CONNECTION = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.ProxyError,
)


class AccountTransport(httpx.BaseTransport):
    """The connections to one account, shared by all threads.

    A loopback URL never goes through a proxy, since its calls carry the key in plain text. Raises
    SettingsError if the environment names certificates or a proxy that cannot be used.
    """

    def __init__(self, url: httpx.URL) -> None:
        self._deadline = Deadline()
        options: dict[str, Any] = {
            "ssl_context": _load_certificates() if url.scheme == "https" else None,
            "max_connections": MAX_CONNECTIONS,
            "max_keepalive_connections": MAX_CONNECTIONS,
            "keepalive_expiry": KEEPALIVE_SECONDS,
            "network_backend": DeadlineBackend(self._deadline),
        }
        proxy = _find_proxy(url)
        self._pool = (
            httpcore.HTTPProxy(str(proxy.url), proxy.raw_auth, **options)
            if proxy
            else httpcore.ConnectionPool(**options)
        )

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """End every read of this thread after some seconds from now, with DeadlineReached."""
        self._deadline.at = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline.at = float("inf")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, and return its response as soon as the headers are there."""
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.read(),
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=Body(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class Body(httpx.SyncByteStream):
    """The body of a response, read as it arrives."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        """Return the connection to the pool, or close it if the body was not read."""
        self._response.close()


class DeadlineReached(httpcore.ReadTimeout):
    """An exchange took longer than it may, although bytes still arrived."""


class Deadline(threading.local):
    """When the exchange of this thread must end, by `time.monotonic`."""

    at = float("inf")

    def shorten(self, timeout: float | None) -> float:
        """Return the seconds that a read may still take; raises DeadlineReached."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineReached
        return min(left, timeout) if timeout is not None else left


class DeadlineBackend(httpcore.SyncBackend):
    """Connect as httpcore does, with streams that keep the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a host."""
        stream = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return DeadlineStream(stream, self._deadline)


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose reads end at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has arrived, or wait for it; raises DeadlineReached."""
        try:
            return self._stream.read(max_bytes, self._deadline.shorten(timeout))
        except httpcore.ReadTimeout:
            self._deadline.shorten(timeout)
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks about the socket, such as whether it is still readable."""
        return self._stream.get_extra_info(info)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Encrypt the connection."""
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return DeadlineStream(stream, self._deadline)


def _load_certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        set_names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
        problem = SettingsProblem(
            " and ".join(set_names) or "SSL_CERT_FILE",
            f"cannot be read as certificates ({type(error).__name__}). Set it to a file of "
            "certificates, or leave it out.",
        )
        raise SettingsError([problem]) from None


def _find_proxy(url: httpx.URL) -> httpx.Proxy | None:
    """Return the proxy that the environment names for this URL, as curl and httpx read it."""
    if url.host in LOOPBACK or proxy_bypass(url.host):
        return None
    proxies = getproxies()
    name = next((name for name in (url.scheme, "all") if proxies.get(name)), None)
    if name is None:
        return None
    address = proxies[name] if "://" in proxies[name] else f"http://{proxies[name]}"
    try:
        proxy = httpx.Proxy(address)
        is_usable = proxy.url.scheme in ("http", "https") and bool(proxy.url.host)
    except (ValueError, httpx.InvalidURL):
        is_usable = False
    if not is_usable:
        problem = SettingsProblem(
            f"{name.upper()}_PROXY",
            "names a proxy that acsync cannot use. Set it to an http:// or https:// URL, or add "
            f"{url.host} to NO_PROXY.",
        )
        raise SettingsError([problem])
    return proxy
