"""Faults of HTTP: error statuses, empty and cut-off answers, dropped and stalled connections."""

import gzip
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

from acsync.simulator.fault_injection import Fault, cut_in_half, reply_with
from acsync.simulator.requests import Answer, Call

HTML = b"<html><head><title>%d</title></head><body><h1>Bad gateway</h1>cloudflare</body></html>"


def status(code: int) -> Fault:
    """Answer with this status and a JSON message."""
    data = {"message": f"Simulated status {code}"}
    return Fault(f"status-{code}", reply=reply_with(status=code, data=data))


def refuse_include(code: int, *relations: str) -> Fault:
    """Answer with this status if `include` names one of these relations."""
    fault = status(code).only(lambda call: any(map(call.includes_any, relations)))
    return replace(fault, name=f"refuses-include-{code}")


def html(code: int = 502) -> Fault:
    """Answer with an HTML page of the proxy, as a 502 or even as a 200."""
    reply = reply_with(
        status=code, data=None, body=HTML % code, content_type="text/html; charset=UTF-8"
    )
    return Fault(f"html-{code}", reply=reply)


def forbidden() -> Fault:
    """Answer 403 without content type and body, as for a bad key."""
    return Fault("forbidden", reply=reply_with(status=403, data=None, content_type=None))


def too_many(retry_after: str | int | None = 1) -> Fault:
    """Answer 429 with this `Retry-After`: seconds, an HTTP date, nonsense, or None for none."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    reply = reply_with(status=429, data=None, content_type=None, headers=headers)
    return Fault("too-many", reply=reply)


def unavailable(retry_after: int) -> Fault:
    """Answer 503 with this `Retry-After`, in seconds."""
    headers = (("Retry-After", str(retry_after)),)
    return Fault("unavailable", reply=reply_with(status=503, data=None, headers=headers))


def too_many_until(seconds: float) -> Fault:
    """Answer 429 with the HTTP date that is `seconds` after the answer."""

    def reply(_call: Call, _answer: Answer) -> Answer:
        headers = (("Retry-After", http_date(seconds)),)
        return Answer(429, content_type=None, headers=headers)

    return Fault("too-many-until", reply=reply)


def http_date(seconds: float) -> str:
    """Return the HTTP date that is `seconds` from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def reset() -> Fault:
    """Drop the connection in the middle of a good answer."""
    return Fault("reset", reply=reply_with(ending="reset"))


def stall(seconds: float = 3600) -> Fault:
    """Send the good answer so late that the caller may have gone."""
    return Fault("stall", reply=reply_with(delay_seconds=seconds))


def drip(seconds: float = 1.0) -> Fault:
    """Send the good answer byte by byte, with pauses too short for a read timeout."""
    return Fault("drip", reply=reply_with(byte_seconds=seconds))


def swell(size: int) -> Fault:
    """Append this many blanks to the good answer, which JSON allows."""

    def reply(_call: Call, answer: Answer) -> Answer:
        return replace(answer, data=None, body=answer.content() + b" " * size)

    return Fault("swell", reply=reply)


def packed(encoding: str) -> Fault:
    """Compress the answer as in this `Content-Encoding`, once for each name in it."""

    def reply(_call: Call, answer: Answer) -> Answer:
        body = answer.content()
        for name in encoding.split(", "):
            body = zlib.compress(body) if name == "deflate" else gzip.compress(body)
        headers = (*answer.headers, ("Content-Encoding", encoding))
        return replace(answer, data=None, body=body, headers=headers)

    return Fault("packed", reply=reply)


def empty_body() -> Fault:
    """Answer 200 with an empty body, as seen in production."""
    return Fault("empty-body", reply=lambda _call, _answer: Answer())


def cut_off() -> Fault:
    """End the body properly, but in the middle of its JSON, so that only the parser notices."""
    return Fault("cut-off", reply=cut_in_half)


def redirect(location: str = "https://elsewhere.example/api/3/") -> Fault:
    """Redirect the caller, and its key, to another host."""
    headers = (("Location", location),)
    reply = reply_with(status=302, data=None, content_type=None, headers=headers)
    return Fault("redirect", reply=reply)


def one_of(name: str, *faults: Fault, seed: int = 1) -> Fault:
    """Answer with one of these, chosen by the seed."""
    random = Random(seed)

    def reply(call: Call, answer: Answer) -> Answer:
        change = random.choice(faults).reply
        return change(call, answer) if change else answer

    return Fault(name, reply=reply)


def bad_network(seed: int, *more: Fault) -> Fault:
    """Mix the faults of proxies, networks and overloaded servers."""
    return one_of(
        "bad-network",
        html(502),
        status(503),
        reset(),
        empty_body(),
        cut_off(),
        forbidden(),
        *more,
        seed=seed,
    )


def breaks_on(path: str, record: int) -> Fault:
    """Answer 500 to every page that contains this record, whatever its offset and limit."""

    def reply(call: Call, answer: Answer) -> Answer:
        rows = (answer.data or {}).get(path, []) if call.path == path else []
        held = any(str(row.get("id")) == str(record) for row in rows)
        return Answer(500, {"message": "Simulated broken record"}) if held else answer

    return Fault("breaks-on-a-record", reply=reply)
