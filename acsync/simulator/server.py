"""Serve an account over a real socket, beside a test or as a process of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from acsync.simulator.account import Account
from acsync.simulator.application import Application

HOST = "127.0.0.1"
BACKLOG = 256


class Server:
    """A served account: `url` works from `start` to `stop`."""

    def __init__(self, account: Account, port: int = 0) -> None:
        self._socket = _listen(port)
        self._server = _server(account)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="simulator", daemon=True
        )
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Begin to answer; calls made before that wait in the socket's queue."""
        self._thread.start()

    def stop(self) -> None:
        """End what is under way and free the port."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


@contextmanager
def serve(account: Account, port: int = 0) -> Iterator[str]:
    """Serve the account in a thread and give its URL, for `AC_API_URL`."""
    server = Server(account, port)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def serve_forever(account: Account, port: int) -> None:
    """Serve the account in this thread until it is interrupted."""
    with _listen(port) as listener, suppress(KeyboardInterrupt):
        _server(account).run([listener])


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    return listener


def _server(account: Account) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            Application(account),
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
    )
