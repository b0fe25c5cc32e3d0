"""Start the HTTP service of one account."""

import socket
from typing import Annotated

import typer

from acsync.cli.options import AccountName, console, database_of, warn_of_unknown_variables
from acsync.errors import AcsyncError
from acsync.logs import set_up_service
from acsync.settings import DATABASE, SERVICE


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8000,
    account: AccountName = None,
) -> None:
    """Serve dashboard, status, metrics and trigger until Ctrl-C."""
    warn_of_unknown_variables()
    settings = database_of(account, DATABASE + SERVICE)
    from acsync.store.database import open_database
    from acsync.web.app import make_app
    from acsync.web.server import Server

    listener = listen(host, port, "The service", "acsync serve")
    set_up_service()
    app = make_app(settings, open_database(settings), account)
    url_host = f"[{host}]" if ":" in host else host
    console.print(f"acsync at http://{url_host}:{listener.getsockname()[1]}. Ctrl-C stops it.")
    Server(app).run(sockets=[listener])


def listen(host: str, port: int, name: str, command: str) -> socket.socket:
    """Listen on an address; raises AcsyncError, which names what would listen and its command."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # connections made before the service is ready wait
    except OSError as error:
        raise AcsyncError(
            f"{name} cannot listen on {host}, port {port}: {error.strerror}.",
            f"Stop what listens there, or use another port: {command} --port 8001",
        ) from None
    return listener
