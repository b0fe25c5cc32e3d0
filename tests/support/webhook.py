"""Receive alerts over HTTP, as an operator's chat does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook(ThreadingHTTPServer):
    """Keeps every message in order, and answers each with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.messages: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """Return the address to send to, with a token as real ones have."""
        return f"http://127.0.0.1:{self.server_port}/hook/secret-token"

    def subjects(self, word: str) -> list[str]:
        """Return the subjects that contain this word."""
        return [sent["subject"] for sent in self.messages if word in sent["subject"]]

    def body_of(self, subject: str) -> str:
        """Return the body of the messages with this subject.

        If SQLite is locked for a minute, Prefect's triggers (3.8.8) fire again for one event.
        """
        (body,) = {sent["body"] for sent in self.messages if sent["subject"] == subject}
        return body


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        """Store one message."""
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
