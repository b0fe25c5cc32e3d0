"""A server that sends bytes as they are, for what a proper server never sends."""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

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
