"""Faults that show: statuses, empty and cut-off answers, dropped and stalled connections."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

from acsync.simulator.breakage import Fault
from acsync.simulator.calls import Answer, Call

HTML = b"<html><head><title>%d</title></head><body><h1>Bad gateway</h1>cloudflare</body></html>"


def answer_with(name: str, answer: Answer) -> Fault:
    """Give this answer instead of the good one."""
    return Fault(name, reply=lambda _call, _answer: answer)


def status(code: int) -> Fault:
    """Answer with this status and a JSON message."""
    return answer_with(f"status-{code}", Answer(code, {"message": f"Simulated status {code}"}))


def html(code: int = 502) -> Fault:
    """Answer with a page of the proxy in front, as a 502 or even as a 200."""
    answer = Answer(code, body=HTML % code, content_type="text/html; charset=UTF-8")
    return answer_with(f"html-{code}", answer)


def forbidden() -> Fault:
    """Answer 403 with no content type and no body, as for a bad key."""
    return answer_with("forbidden", Answer(403, content_type=None))


def too_many(retry_after: str | int | None = 1) -> Fault:
    """Answer 429 with this `Retry-After`: seconds, an HTTP date, nonsense, or None for none."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    return answer_with("too-many", Answer(429, content_type=None, headers=headers))


def too_many_until(seconds: float) -> Fault:
    """Answer 429 with an HTTP date so many seconds away from the answer."""

    def reply(_call: Call, _answer: Answer) -> Answer:
        moment = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        return Answer(429, content_type=None, headers=(("Retry-After", moment),))

    return Fault("too-many-until", reply=reply)


def reset() -> Fault:
    """Drop the connection in the middle of a good answer."""
    return Fault("reset", reply=lambda _call, answer: replace(answer, ending="reset"))


def stall(seconds: float = 3600) -> Fault:
    """Give the good answer, but so late that the caller may have gone."""
    return Fault("stall", reply=lambda _call, answer: replace(answer, delay_seconds=seconds))


def drip(seconds: float = 1.0) -> Fault:
    """Give the good answer byte by byte, with a pause after each: no read ever times out."""
    return Fault("drip", reply=lambda _call, answer: replace(answer, byte_seconds=seconds))


def swell(size: int) -> Fault:
    """Give the good answer with so many blanks behind it, which JSON allows."""

    def reply(_call: Call, answer: Answer) -> Answer:
        return replace(answer, data=None, body=answer.content() + b" " * size)

    return Fault("swell", reply=reply)


def empty_body() -> Fault:
    """Answer 200 with nothing, as seen in production."""
    return answer_with("empty-body", Answer())


def cut_off() -> Fault:
    """End the body properly, but in the middle of its JSON: only the parser notices."""

    def reply(_call: Call, answer: Answer) -> Answer:
        content = answer.content()
        return replace(answer, data=None, body=content[: len(content) // 2])

    return Fault("cut-off", reply=reply)


def redirect(location: str = "https://elsewhere.example/api/3/") -> Fault:
    """Send the caller, and its key with it, to another host."""
    headers = (("Location", location),)
    return answer_with("redirect", Answer(302, content_type=None, headers=headers))


def one_of(name: str, *faults: Fault, seed: int = 1) -> Fault:
    """Answer with one of these, by repeatable chance."""
    random = Random(seed)  # noqa: S311  # repeatable chance

    def reply(call: Call, answer: Answer) -> Answer:
        bend = random.choice(faults).reply
        return bend(call, answer) if bend else answer

    return Fault(name, reply=reply)


def breaks_on(path: str, record: int) -> Fault:
    """Answer 500 to every page that would hold this record, however it is asked for."""

    def reply(call: Call, answer: Answer) -> Answer:
        rows = (answer.data or {}).get(path, []) if call.path == path else []
        held = any(str(row.get("id")) == str(record) for row in rows)
        return Answer(500, {"message": "Simulated broken record"}) if held else answer

    return Fault("breaks-on-a-record", reply=reply)
