"""Serve an account as ActiveCampaign would: key, rate limit, faults, then the answer."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from email.utils import format_datetime
from secrets import compare_digest
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from acsync.simulator.account import Account
from acsync.simulator.answers import answer_call, message
from acsync.simulator.calls import Answer, Call, RateGate, now_seconds
from acsync.simulator.chance import draw

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

PREFIX = "/api/3/"
HEADERS = (
    (b"Server", b"cloudflare"),
    (b"Cache-Control", b"no-store, no-cache, must-revalidate,no-cache, private"),
    (b"Expires", b"Thu, 19 Nov 1981 08:52:00 GMT"),
    (b"Pragma", b"no-cache"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Envoy-Upstream-Service-Time", b"94"),
    (b"Cf-Cache-Status", b"DYNAMIC"),
)
"""As recorded; no Content-Length (every answer is chunked) and no rate limit on a good answer."""


class Application:
    """The ASGI application of one account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._gate = RateGate(account.options.rate_limit)
        self._arrivals = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, which must be HTTP."""
        at = now_seconds()
        path = scope["path"].removeprefix(PREFIX)
        params = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        answer = self._refuse(scope, at) or await self._answer(path, params)
        self.account.statistics.record(at, path, params, answer.status)
        self._arrivals += 1
        if await _still_there(receive, answer.delay_seconds):
            await _send(answer, self._arrivals, receive, send)

    def _refuse(self, scope: Message, at: float) -> Answer | None:
        """Refuse what never reaches the account; a refused call takes nothing from the limit."""
        statistics = self.account.statistics
        key = dict(scope["headers"]).get(b"api-token", b"")
        if not compare_digest(key, self.account.options.api_key.encode()):
            statistics.unauthorized += 1
            return Answer(403, content_type=None)
        if not self._gate.admit(at):
            statistics.refused += 1
            return self._too_many()
        if not scope["path"].startswith(PREFIX) or scope["method"] != "GET":
            return message(404, f"No route found for {scope['method']} {scope['path']}")
        return None

    def _too_many(self) -> Answer:
        """Refuse as documented; the body of a real 429 is not known."""
        retry_after = self.account.options.retry_after_seconds
        headers = [("RateLimit-Limit", str(self._gate.most)), ("RateLimit-Remaining", "0")]
        if retry_after is not None:
            headers.insert(0, ("Retry-After", str(retry_after)))
        return Answer(429, content_type=None, headers=tuple(headers))

    async def _answer(self, path: str, params: dict[str, str]) -> Answer:
        account = self.account
        call = Call(path, params, account.statistics.accept(path), account.options.page_cap)
        await asyncio.sleep(account.options.latency_seconds)
        return answer_bent(account, call)


def answer_bent(account: Account, call: Call) -> Answer:
    """Answer an accepted call as the account's faults let it, and run what waits for it."""
    account.hooks.run(call, "before")
    faults = account.faults.strike(call)
    asked = call
    for fault in faults:
        asked = fault.ask(asked) if fault.ask else asked
    answer = answer_call(account, asked)
    account.hooks.run(call, "after")
    for fault in faults:
        answer = fault.reply(asked, answer) if fault.reply else answer
    return answer


async def _still_there(receive: Receive, seconds: float) -> bool:
    """Wait, but not longer than the caller does."""
    if not seconds:
        return True

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(leave(), seconds)
    except TimeoutError:
        return True
    return False


async def _send(answer: Answer, arrival: int, receive: Receive, send: Send) -> None:
    headers = list(HEADERS)
    headers.append((b"X-Request-Id", b"%032x" % draw(arrival)))
    headers.append((b"Cf-Ray", b"%016x-SIM" % draw(arrival, 1)))
    now = format_datetime(datetime.now(UTC), usegmt=True)
    named = {"Date": now, **dict(answer.headers)}
    headers += [(name.encode(), text.encode()) for name, text in named.items()]
    if answer.content_type:
        headers.append((b"Content-Type", answer.content_type.encode()))
    content = answer.content()
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.ending == "reset":
        # To return without ending the body makes uvicorn drop the connection.
        half = content[: len(content) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        return
    for byte in content if answer.byte_seconds else b"":
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        if not await _still_there(receive, answer.byte_seconds):
            return
    await send({"type": "http.response.body", "body": b"" if answer.byte_seconds else content})
