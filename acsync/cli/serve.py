"""Serve the status, the trigger, the metrics and the dashboard of one account."""

import socket

from rich.console import Console

from acsync.errors import AcsyncError
from acsync.logs import set_up_service
from acsync.settings import WebSettings
from acsync.store.database import open_database
from acsync.web.app import make_app
from acsync.web.server import STALL_SECONDS, Server


def run_serve(  # the options of the command
    console: Console,
    settings: WebSettings,
    account: str | None,
    host: str,
    port: int,
    stall_seconds: int = STALL_SECONDS,
) -> None:
    """Serve until a signal; raises AcsyncError if the address is not free.

    A connection is closed if it stalls for `stall_seconds`: see web/server.py.
    """
    listener = _listen(host, port)
    set_up_service()
    app = make_app(settings, open_database(settings), account)
    shown = f"[{host}]" if ":" in host else host
    console.print(f"acsync at http://{shown}:{listener.getsockname()[1]}. Ctrl-C ends it.")
    Server(app, stall_seconds).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # what connects before the service is ready waits
    except OSError as error:
        raise AcsyncError(
            f"The service cannot listen on {host}, port {port}: {error.strerror}.",
            "End what listens there, or use another port: acsync serve --port 8001",
        ) from None
    return listener
