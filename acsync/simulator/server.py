"""Serve an account over HTTP as ActiveCampaign does, from a thread or a separate process."""

import asyncio
import gc
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from random import Random
from secrets import compare_digest
from threading import Thread
from urllib.parse import parse_qsl
from wsgiref.handlers import format_date_time

import uvicorn
from starlette.types import Receive, Scope, Send

from acsync.simulator.account import Account
from acsync.simulator.answers import answer_with_faults, message
from acsync.simulator.requests import Answer, Call, RateGate
from acsync.simulator.values import load

HOST = "127.0.0.1"
PREFIX = "/api/3/"
# As recorded: every answer is chunked, and good answers do not mention the rate limit.
HEADERS: dict[str, str] = load("headers")


@contextmanager
def serve(account: Account, port: int = 0) -> Iterator[str]:
    """Serve the account in a thread and yield its URL, for `AC_API_URL`."""
    with socket.create_server((HOST, port)) as listener:
        server = _uvicorn(account)
        thread = Thread(target=server.run, args=([listener],), name="simulator", daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def serve_forever(account: Account, listener: socket.socket) -> None:
    """Serve the account on a listening socket in this thread until it is interrupted."""
    # Garbage collection over a whole account would delay calls by 50 ms.
    gc.freeze()
    with suppress(KeyboardInterrupt):
        _uvicorn(account).run([listener])


def _uvicorn(account: Account) -> uvicorn.Server:
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


class Application:
    """The ASGI application of one account: key, rate limit, faults, then the answer."""

    def __init__(self, account: Account) -> None:
        self.account = account
        options = account.options
        self._gate = RateGate(options.rate_limit, options.rate_window)
        self._lateness = Random(options.seed)  # noqa: S311  # repeatable
        self._writer = ThreadPoolExecutor(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, which must be HTTP."""
        if most := self.account.options.arrival_jitter_seconds:
            await asyncio.sleep(self._lateness.uniform(0, most))
        at = time.monotonic()
        path = scope["path"].removeprefix(PREFIX)
        params = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        answer = self._refuse(scope, at) or await self._answer(path, params)
        self.account.statistics.record(at, answer.status)
        if await _still_there(receive, answer.delay_seconds):
            # By the account's clock, to the second.
            date = format_date_time(self.account.now())
            await _send(answer, date, receive, send)

    def _refuse(self, scope: Scope, at: float) -> Answer | None:
        """Refuse calls that never reach the account; they do not count towards the limit."""
        key = dict(scope["headers"]).get(b"api-token", b"")
        if not compare_digest(key, self.account.options.api_key.encode()):
            return Answer(403, content_type=None)
        if not self._gate.admit(at):
            self.account.statistics.refused += 1
            return _too_many(self._gate.most, self.account.options.retry_after_seconds)
        if not scope["path"].startswith(PREFIX) or scope["method"] != "GET":
            return message(404, f"No route found for {scope['method']} {scope['path']}")
        return None

    async def _answer(self, path: str, params: dict[str, str]) -> Answer:
        account = self.account
        call = Call(path, params, account.statistics.accept(path), account.options.page_cap)
        await asyncio.sleep(account.options.latency_seconds)

        def write() -> Answer:
            answer = answer_with_faults(account, call)
            return replace(answer, data=None, body=answer.content())

        # Not in this thread, which notes when calls arrive. One thread keeps faults in order.
        return await asyncio.get_running_loop().run_in_executor(self._writer, write)


def _too_many(limit: int, retry_after: int | None) -> Answer:
    """Return a 429 as documented; no body of a real one was recorded."""
    headers = {"RateLimit-Limit": limit, "RateLimit-Remaining": 0, "Retry-After": retry_after}
    texts = ((name, str(number)) for name, number in headers.items() if number is not None)
    return Answer(429, content_type=None, headers=tuple(texts))


async def _still_there(receive: Receive, seconds: float) -> bool:
    """Wait, and return whether the caller did."""
    if not seconds:
        return True

    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return True
    return False


async def _send(answer: Answer, date: str, receive: Receive, send: Send) -> None:
    content = answer.content()
    types = {"Content-Type": answer.content_type} if answer.content_type else {}
    headers = HEADERS | {"Date": date} | dict(answer.headers) | types
    encoded = [(name.encode(), text.encode()) for name, text in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    if answer.ending == "reset":
        # uvicorn drops the connection if the body is not ended.
        half = content[: len(content) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        return
    for byte in content if answer.byte_seconds else b"":
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        if not await _still_there(receive, answer.byte_seconds):
            return
    await send({"type": "http.response.body", "body": b"" if answer.byte_seconds else content})
