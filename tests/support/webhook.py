"""Receive alerts as the chat of an operator would, over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook(ThreadingHTTPServer):
    """Keeps every message it is sent, in order, and answers each with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.messages: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """Return the address to send to, with a token as real ones have."""
        return f"http://127.0.0.1:{self.server_port}/hook/secret-token"

    def subjects(self, word: str) -> list[str]:
        """Return the subjects with that word in them."""
        return [sent["subject"] for sent in self.messages if word in sent["subject"]]

    def body_of(self, subject: str) -> str:
        """Return what was said under that subject, however often.

        Where SQLite is locked for a minute, Prefect's triggers (3.8.8) fire again for one event.
        """
        (body,) = {sent["body"] for sent in self.messages if sent["subject"] == subject}
        return body


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        """Take one message."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.messages.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Log nothing."""


@contextmanager
def webhook(status: int = 200) -> Iterator[Webhook]:
    """Listen on a free port until the block ends."""
    with Webhook(status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
