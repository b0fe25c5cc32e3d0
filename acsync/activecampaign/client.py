"""Ask ActiveCampaign for one page, and return that page or raise a typed error, never less."""

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

import httpx
import tenacity

from acsync.activecampaign.page import Page, TransientError, read_page
from acsync.activecampaign.rate_limiter import RateLimiter, Turn
from acsync.activecampaign.transport import (
    CONNECTION_ERRORS,
    NO_CONNECTION,
    AccountTransport,
    DeadlineReached,
)
from acsync.errors import (
    AccessDenied,
    CallFailed,
    CallRefused,
    NoCrm,
    NotFound,
    ResponseTooLarge,
    sanitize,
)

Params: TypeAlias = Mapping[str, str | int]

# What a marketing-only plan answers on every endpoint of deals. The key is not to blame.
NO_CRM = b"enable the CRM"

# A missing record is documented with status 403 too ("No Result found for FieldValue with id 10").
NO_RESULT = b"No Result found for"

# A page is given up after this many attempts, or after this many refusals as too many.
ATTEMPTS = 4
REFUSALS = 10
DEFAULT_PAUSE_SECONDS = 1.0
PIECE_BYTES = 256 * 1024

# Statuses below 500 that another attempt may improve.
PASSING = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.CONFLICT, httpx.codes.TOO_EARLY)

# Of httpcore's `trace`: https://www.encode.io/httpcore/extensions/#trace
HEADERS_SENT = "http11.send_request_headers.complete"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RequestLimits:
    """How long to wait for a response, and before the first retry; later waits double.

    The read timeout starts again with every chunk that arrives, so a response that drips needs a
    deadline as well, from its first byte to its last. A call that is asked for more than the
    longest pause fails.
    """

    # A page of 100 contacts with their values can be slow to build on the server.
    read_timeout_seconds: float = 60.0
    deadline_seconds: float = 120.0
    # Twelve threads read at once, and a page of 100 records is a megabyte.
    max_response_bytes: int = 16 * 1024 * 1024
    first_wait_seconds: float = 0.5
    max_pause_seconds: float = 300.0


DEFAULT_LIMITS = RequestLimits()


@dataclass(frozen=True)
class Exchange:
    """One call and the response to it, whatever its status."""

    path: str
    params: Params
    status: int
    headers: Mapping[str, str]
    content: bytes


class Client:
    """Calls to one account, inside its rate limit; safe to share between threads.

    Each call is retried up to three times, within seconds, and up to nine times if the account
    refuses it as too many. Redirects are never followed: they would carry the key to another host.
    `observe` sees every call and its response. Raises SettingsError if the environment names
    certificates or a proxy that cannot be used.
    """

    def __init__(
        self,
        account_url: str,
        api_key: str,
        rate_limiter: RateLimiter,
        limits: RequestLimits = DEFAULT_LIMITS,
        transport: httpx.BaseTransport | None = None,
        observe: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.rate_limiter = rate_limiter
        self._observe = observe
        self._limits = limits
        self._transport = transport or AccountTransport(httpx.URL(account_url))
        self._http = httpx.Client(
            base_url=account_url,
            headers={
                "Api-Token": api_key,
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            },
            timeout=httpx.Timeout(10, read=limits.read_timeout_seconds, pool=120),
            follow_redirects=False,
            transport=self._transport,
        )
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=_Wait(limits.first_wait_seconds),
            before_sleep=self._note_retry,
            sleep=self._sleep,
            reraise=True,
        )

    def close(self, reason: str = "The sync ended before all calls were made.") -> None:
        """Close the connections; calls that wait, or are made later, raise SyncFailed."""
        self.rate_limiter.close(reason)
        self._http.close()

    def get_page(self, path: str, params: Params, attempts: int = ATTEMPTS) -> Page:
        """Return one page of the collection `path`, whose rows are under the same key.

        Raises CallFailed after the last retry, and CallRefused if retries cannot help; both
        name the call. Source: https://developers.activecampaign.com/reference/pagination
        """
        query = f"?{httpx.QueryParams(params)}" if params else ""
        call = f"GET {self._http.base_url.path}{path}{query}"
        retrying = self._retrying.copy(stop=_GiveUp(attempts))
        try:
            return retrying(self._attempt, path, params)
        except TransientError as error:
            tried = f"tried {retrying.statistics['attempt_number']} times"
            if error.lasting:
                message = f"{call} was answered with {error}, {tried}."
                raise type(error.lasting)(message, error.lasting.remedy) from None
            if isinstance(error, Unreachable):
                raise CallFailed(
                    f"{error.host} cannot be reached for {call}: {error}, {tried}.",
                    "Check AC_API_URL, and the network, the DNS and the proxy of this machine.",
                ) from None
            raise CallFailed(
                f"ActiveCampaign gave no usable answer to {call}: {error}, {tried}.",
                "Sync again later; if it stays, tell ActiveCampaign's support.",
            ) from None

    def _sleep(self, seconds: float) -> None:
        self.rate_limiter.sleep(seconds)

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        self.rate_limiter.count_retry()
        outcome = state.outcome
        logger.debug("call retried: %s", outcome.exception() if outcome else "")

    def _attempt(self, path: str, params: Params) -> Page:
        request = self._http.build_request("GET", path, params=dict(params) or None)
        turn = self.rate_limiter.wait_turn()

        def note(event: str, _: object) -> None:
            if event == HEADERS_SENT:
                self.rate_limiter.note_sent(turn)

        request.extensions["trace"] = note
        with self._deadline():
            try:
                with closing(self._http.send(request, stream=True)) as response:
                    content = self._read_whole(response)
            except DeadlineReached:
                seconds = self._limits.deadline_seconds
                raise TransientError(f"a response not whole after {seconds:g} s") from None
            except NO_CONNECTION as error:
                host = request.url.netloc.decode("ascii")
                raise Unreachable(f"{type(error).__name__} ({error})", host) from None
            except CONNECTION_ERRORS as error:
                raise TransientError(f"{type(error).__name__} ({error})") from None
            except UnicodeError:
                raise CallRefused(
                    f"AC_API_URL names a host that cannot exist, {request.url.host}.",
                    "Set AC_API_URL to the URL under Settings, Developer.",
                ) from None
        if self._observe:
            self._observe(Exchange(path, params, response.status_code, response.headers, content))
        if response.status_code == httpx.codes.OK:
            return replace(read_page(content, path), asked_at=turn.given_at)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or (
            response.status_code == httpx.codes.SERVICE_UNAVAILABLE and _retry_after(response)
        ):
            raise self._pause(response, turn)
        raise _refusal(response, content)

    def _deadline(self) -> AbstractContextManager[None]:
        if isinstance(self._transport, AccountTransport):
            return self._transport.deadline(self._limits.deadline_seconds)
        return nullcontext()

    def _read_whole(self, response: httpx.Response) -> bytes:
        """Read and unpack the body as it arrives, up to an unpacked size."""
        chunks, size, limits = [], 0, self._limits
        for chunk in _unpack(response):
            chunks.append(chunk)
            size += len(chunk)
            if size > limits.max_response_bytes:
                raise ResponseTooLarge(
                    f"ActiveCampaign answered {_call(response)} with more than "
                    f"{limits.max_response_bytes:,} bytes.",
                    "Look for very long texts in ActiveCampaign's newest custom fields.",
                )
        return b"".join(chunks)

    def _pause(self, response: httpx.Response, turn: Turn) -> Exception:
        """Let a 429, or a 503 that says when to come back, pause every thread."""
        asked, longest = retry_after_seconds(response), self._limits.max_pause_seconds
        status = response.status_code
        obeyed = asked if asked <= longest else 0.0
        if status == httpx.codes.TOO_MANY_REQUESTS:
            self.rate_limiter.refuse(turn, obeyed, _told_rate(response))
        else:
            self.rate_limiter.pause(obeyed)
        if asked > longest:
            return CallRefused(
                f"ActiveCampaign answered {_call(response)} with status {status} and asks for a "
                f"pause of {asked:,.0f} s; a sync waits {longest:g} s at most.",
                "Find out what else uses the account's calls, and sync again after that time.",
            )
        asks = _retry_after(response) or "absent"
        what = "too many calls" if status == httpx.codes.TOO_MANY_REQUESTS else "unavailable"
        reason = f"status {status}, {what} (Retry-After: {asks})"
        return (
            TooMany(reason) if status == httpx.codes.TOO_MANY_REQUESTS else TransientError(reason)
        )


class Unreachable(TransientError):
    """No connection came about: a wrong host or port, its certificate, a proxy, the network."""

    def __init__(self, reason: str, host: str) -> None:
        super().__init__(reason)
        self.host = host


class TooMany(TransientError):
    """A 429: the pause that it asks for was taken, and the account itself is well."""


class _Wait(tenacity.wait.wait_base):
    """Wait twice as long each time, but not after a 429, whose pause the rate limiter keeps."""

    def __init__(self, first_seconds: float) -> None:
        self._wait = tenacity.wait_exponential_jitter(
            multiplier=first_seconds, max=10, jitter=first_seconds
        )

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        outcome = retry_state.outcome
        is_too_many = outcome is not None and isinstance(outcome.exception(), TooMany)
        return 0.0 if is_too_many else self._wait(retry_state)


class _GiveUp(tenacity.stop.stop_base):
    """Stop after some attempts, of which refusals as too many are counted apart."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._refusals = 0

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        outcome = retry_state.outcome
        if outcome is not None and isinstance(outcome.exception(), TooMany):
            self._refusals += 1
            return self._refusals >= REFUSALS
        return retry_state.attempt_number - self._refusals >= self._attempts


def _unpack(response: httpx.Response) -> Iterator[bytes]:
    """Yield an unpacked body in small pieces: a few kilobytes can hold gigabytes."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        yield from response.iter_raw()
        return
    if encoding not in ("gzip", "deflate"):
        raise TransientError(f"a response in the encoding {encoding[:40]!r}")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        for chunk in response.iter_raw():
            packed = chunk
            while packed:
                yield unpacker.decompress(packed, PIECE_BYTES)
                packed = unpacker.unconsumed_tail
    except zlib.error:
        raise TransientError(f"a response that is no {encoding}") from None


def _refusal(response: httpx.Response, content: bytes) -> Exception:
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
    call = _call(response)
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


def _call(response: httpx.Response) -> str:
    return f"GET {response.url.raw_path.decode('ascii', 'replace')}"


def _detail(content: bytes) -> str:
    """Return what the API says about a refusal; a 403 may have no body and no content type."""
    # Never in the charset of the response's header: one such as `base64` makes decoding raise.
    text = sanitize(content[:1000].decode("utf-8", "replace"))[:200]
    return f" ({text})" if text else ""


def _retry_after(response: httpx.Response) -> str:
    return str(response.headers.get("Retry-After", "")).strip()[:40]


def _told_rate(response: httpx.Response) -> float | None:
    """Return `RateLimit-Limit`, in calls per second, or None if it is no number above 0."""
    text = response.headers.get("RateLimit-Limit", "").strip()[:9]
    return float(text) if text.isascii() and text.isdigit() and int(text) else None


def retry_after_seconds(response: httpx.Response) -> float:
    """Return `Retry-After`, in seconds or as an HTTP date; 1 s if it cannot be read."""
    text = _retry_after(response)
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return DEFAULT_PAUSE_SECONDS
    return max(seconds, 0.0)
