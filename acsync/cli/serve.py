"""Serve the status, the trigger, the metrics and the dashboard of one account."""

import socket

import uvicorn
from rich.console import Console

from acsync.cli.logs import set_up_service
from acsync.errors import AcsyncError
from acsync.settings import WebSettings
from acsync.store.database import open_database
from acsync.web.app import make_app

# What a request gets to end when the service is ended; one that waits for a sync is cut off.
END_SECONDS = 3


def run_serve(
    console: Console, settings: WebSettings, account: str | None, host: str, port: int
) -> None:
    """Serve until a signal; raises AcsyncError where the address cannot be had."""
    listener = _listen(host, port)
    set_up_service()
    app = make_app(settings, open_database(settings), account)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=END_SECONDS,
    )
    shown = f"[{host}]" if ":" in host else host
    console.print(f"acsync at http://{shown}:{listener.getsockname()[1]}. Ctrl-C ends it.")
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise AcsyncError(
            f"The service cannot listen on {host}, port {port}: {error.strerror}.",
            "End what listens there, or use another port: acsync serve --port 8001",
        ) from None
    return listener
