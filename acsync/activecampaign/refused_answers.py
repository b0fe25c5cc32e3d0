"""Judge an answer that is not a page: whether another attempt may help, and what to do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from acsync.activecampaign.page import TransientError
from acsync.errors import AccessDenied, CallRefused, NoCrm, NotFound, sanitize

# What a marketing-only plan answers on every endpoint of deals. The key is not to blame.
NO_CRM = b"enable the CRM"

# A missing record is documented with status 403 too ("No Result found for FieldValue with id 10").
NO_RESULT = b"No Result found for"

# Statuses below 500 that another attempt may improve.
PASSING = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.CONFLICT, httpx.codes.TOO_EARLY)

DEFAULT_PAUSE_SECONDS = 1.0


class KeyJudge:
    """Decides once for all threads whether an account refuses the key.

    A 403 can also mean a missing right, or nothing at all (singer-io/tap-activecampaign#52). So the
    key is only blamed if no call was answered with success and one was refused on every attempt.
    """

    def __init__(self) -> None:
        self.is_accepted = False
        self._turn = threading.RLock()
        self._refusal: AccessDenied | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one thread at a time repeat its refused call, until the key was accepted.

        Raises AccessDenied if the key was refused in the turn of another thread.
        """
        if self.is_accepted:
            yield
            return
        with self._turn:
            if self._refusal and not self.is_accepted:
                raise AccessDenied(self._refusal.message, self._refusal.remedy)
            yield

    def refuse(self, refusal: AccessDenied) -> None:
        """Note a call that was refused on every attempt."""
        self._refusal = self._refusal or refusal


class TooMany(TransientError):
    """A 429: the pause that it asks for was taken, and the account itself is well."""


def judge_pause(response: httpx.Response, longest: float) -> Exception:
    """Return the error for a 429, or for a 503 that says when to come back."""
    asked, status = retry_after_seconds(response), response.status_code
    if asked > longest:
        return CallRefused(
            f"ActiveCampaign answered {call_of(response)} with status {status} and asks for a "
            f"pause of {asked:,.0f} s; a sync waits {longest:g} s at most.",
            "Find out what else uses the account's calls, and sync again after that time.",
        )
    asks = f"(Retry-After: {retry_after(response) or 'absent'})"
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return TooMany(f"status {status}, too many calls {asks}")
    return TransientError(f"status {status}, unavailable {asks}")


def judge_refusal(response: httpx.Response, content: bytes) -> Exception:
    """Return the error for an answer that is not a page; a TransientError is worth a retry."""
    status = response.status_code
    if status == httpx.codes.FORBIDDEN and NO_CRM in content:
        return NoCrm(
            f"ActiveCampaign refused GET {response.url.path} with status 403{_detail(content)}. "
            "The plan of this account has no deals.",
            "Set ACSYNC_DATASETS=contacts.",
        )
    is_forbidden = status == httpx.codes.FORBIDDEN
    if is_forbidden and _is_html(response, content):
        # Such as Cloudflare's challenge. It says nothing about the key.
        return TransientError(
            "status 403 and a web page of something in front of the account",
            lasting=CallRefused(
                remedy="Look for a firewall or a proxy on the way; if there is none, ask "
                "ActiveCampaign's support to let this address call the API."
            ),
        )
    is_missing = status == httpx.codes.NOT_FOUND or (is_forbidden and NO_RESULT in content)
    if is_forbidden and not is_missing:
        # ActiveCampaign answers 403 now and then for no reason (singer-io/tap-activecampaign#52).
        remedy = "Check AC_API_KEY, and that its user may see every list and pipeline."
        return TransientError(f"status 403{_detail(content)}", lasting=AccessDenied(remedy=remedy))
    call = call_of(response)
    if 300 <= status < 400 and "Location" in response.headers:
        return CallRefused(
            f"ActiveCampaign answered {call} with a redirect, which would carry the key to "
            "another address.",
            "Set AC_API_URL to the URL under Settings, Developer.",
        )
    # The body of a success may hold a contact, so no message quotes it.
    if status < 400 or status >= 500 or status in PASSING:
        return TransientError(f"status {status}")
    refused = NotFound if is_missing else CallRefused
    return refused(
        f"ActiveCampaign refused {call} with status {status}{_detail(content)}.",
        "Check AC_API_URL, AC_API_KEY and the plan of the account.",
    )


def _is_html(response: httpx.Response, content: bytes) -> bool:
    content_type = response.headers.get("Content-Type", "").lower()
    return "html" in content_type or content.lstrip()[:1] == b"<"


def call_of(response: httpx.Response) -> str:
    """Return the call that an answer belongs to, for messages."""
    return f"GET {response.url.raw_path.decode('ascii', 'replace')}"


def _detail(content: bytes) -> str:
    """Return what the API says about a refusal; a 403 may have no body and no content type."""
    # Never in the charset of the response's header: one such as `base64` makes decoding raise.
    text = sanitize(content[:1000].decode("utf-8", "replace"))[:200]
    return f" ({text})" if text else ""


def retry_after(response: httpx.Response) -> str:
    """Return the header `Retry-After`, or an empty text."""
    return str(response.headers.get("Retry-After", "")).strip()[:40]


def told_rate(response: httpx.Response) -> float | None:
    """Return `RateLimit-Limit`, in calls per second, or None if it is no number above 0."""
    text = response.headers.get("RateLimit-Limit", "").strip()[:9]
    return float(text) if text.isascii() and text.isdigit() and int(text) else None


def retry_after_seconds(response: httpx.Response) -> float:
    """Return `Retry-After`, in seconds or as an HTTP date; 1 s if it cannot be read."""
    text = retry_after(response)
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return DEFAULT_PAUSE_SECONDS
    return max(seconds, 0.0)
