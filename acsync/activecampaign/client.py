"""Ask ActiveCampaign for one page, and return that page or raise a typed error, never less."""

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import httpx
import tenacity

from acsync.activecampaign.answer_times import AnswerTimes
from acsync.activecampaign.page import Page, TransientError, read_page
from acsync.activecampaign.rate_limiter import RateLimiter, Turn
from acsync.activecampaign.refused_answers import (
    KeyJudge,
    TooMany,
    call_of,
    judge_pause,
    judge_refusal,
    retry_after,
    retry_after_seconds,
    told_rate,
)
from acsync.activecampaign.server_clock import ServerClock
from acsync.activecampaign.transport import (
    CONNECTION_ERRORS,
    NO_CONNECTION,
    AccountTransport,
    DeadlineReached,
)
from acsync.errors import AccessDenied, CallFailed, CallRefused, ResponseTooLarge

Params: TypeAlias = Mapping[str, str | int | tuple[int, ...]]

# A page is given up after this many attempts, or after this many refusals as too many.
ATTEMPTS = 4
REFUSALS = 10
PIECE_BYTES = 256 * 1024

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
    # Dozens of threads read at once, and a page of 100 records is a megabyte.
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
        self.answer_times = AnswerTimes()
        self.server_clock = ServerClock()
        self._observe = observe
        self._key = KeyJudge()
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
        self._backoff = tenacity.wait_exponential_jitter(
            multiplier=limits.first_wait_seconds, max=10, jitter=limits.first_wait_seconds
        )
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=self._wait_seconds,
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
        with ExitStack() as turn:
            retrying = self._retrying.copy(
                stop=_give_up(attempts), before_sleep=partial(self._before_retry, turn)
            )
            return self._try(retrying, call, path, params)

    def _try(self, retrying: tenacity.Retrying, call: str, path: str, params: Params) -> Page:
        try:
            return retrying(self._attempt, path, params)
        except TransientError as error:
            tried = f"tried {retrying.statistics['attempt_number']} times"
            if error.lasting:
                message = f"{call} was answered with {error}, {tried}."
                refusal = type(error.lasting)(message, error.lasting.remedy)
                if isinstance(refusal, AccessDenied):
                    self._key.refuse(refusal)
                raise refusal from None
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

    def _before_retry(self, turn: ExitStack, state: tenacity.RetryCallState) -> None:
        """Count a retry. If the key may be wrong, only one thread repeats its call at a time."""
        error = state.outcome and state.outcome.exception()
        if isinstance(error, TransientError) and isinstance(error.lasting, AccessDenied):
            turn.enter_context(self._key.turn())
        self.rate_limiter.count_retry()
        logger.debug("call retried: %s", error)

    def _attempt(self, path: str, params: Params) -> Page:
        request = self._http.build_request("GET", path, params=dict(params) or None)
        turn = self.rate_limiter.wait_turn()

        def note(event: str, _: object) -> None:
            if event == HEADERS_SENT:
                self.rate_limiter.note_sent(turn)

        request.extensions["trace"] = note
        response, content = self._send(request)
        self.server_clock.note(response.headers.get("Date"))
        if self._observe:
            self._observe(Exchange(path, params, response.status_code, response.headers, content))
        if response.status_code == httpx.codes.OK:
            self.answer_times.note(path, self.rate_limiter.clock() - turn.sent_at)
            self._key.is_accepted = True
            return replace(read_page(content, path), asked_at=turn.given_at)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or (
            response.status_code == httpx.codes.SERVICE_UNAVAILABLE and retry_after(response)
        ):
            raise self._pause(response, turn)
        raise judge_refusal(response, content)

    def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """Return the response and its content; raise TransientError if not all of it came."""
        with self._deadline():
            try:
                with closing(self._http.send(request, stream=True)) as response:
                    return response, self._read_whole(response)
            except DeadlineReached:
                seconds = self._limits.deadline_seconds
                raise TransientError(f"a response not whole after {seconds:g} s") from None
            except NO_CONNECTION as error:
                host = request.url.netloc.decode("ascii")
                raise Unreachable(f"{type(error).__name__} ({error})", host) from None
            except CONNECTION_ERRORS as error:
                raise TransientError(f"{type(error).__name__} ({error})") from None
            except RuntimeError as error:
                if not self._http.is_closed:
                    raise
                # Another thread closed the client, so the next attempt gets no turn.
                raise TransientError(str(error)) from None
            except UnicodeError:
                raise CallRefused(
                    f"AC_API_URL names a host that cannot exist, {request.url.host}.",
                    "Set AC_API_URL to the URL under Settings, Developer.",
                ) from None

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
                    f"ActiveCampaign answered {call_of(response)} with more than "
                    f"{limits.max_response_bytes:,} bytes.",
                    "Look for very long texts in ActiveCampaign's newest custom fields.",
                )
        return b"".join(chunks)

    def _pause(self, response: httpx.Response, turn: Turn) -> Exception:
        """Let a 429, or a 503 that says when to come back, pause every thread."""
        asked, longest = retry_after_seconds(response), self._limits.max_pause_seconds
        obeyed = asked if asked <= longest else 0.0
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self.rate_limiter.refuse(turn, obeyed, told_rate(response))
        else:
            self.rate_limiter.pause(obeyed)
        return judge_pause(response, longest)

    def _wait_seconds(self, state: tenacity.RetryCallState) -> float:
        """Wait twice as long each time, but not after a 429, whose pause the rate limiter keeps."""
        return 0.0 if _is_too_many(state) else self._backoff(state)


class Unreachable(TransientError):
    """No connection came about: a wrong host or port, its certificate, a proxy, the network."""

    def __init__(self, reason: str, host: str) -> None:
        super().__init__(reason)
        self.host = host


def _is_too_many(state: tenacity.RetryCallState) -> bool:
    return isinstance(state.outcome and state.outcome.exception(), TooMany)


def _give_up(attempts: int) -> Callable[[tenacity.RetryCallState], bool]:
    """Return what stops a call: this many attempts, or refusals as too many, counted apart."""
    refusals = 0

    def stop(state: tenacity.RetryCallState) -> bool:
        nonlocal refusals
        if _is_too_many(state):
            refusals += 1
            return refusals >= REFUSALS
        return state.attempt_number - refusals >= attempts

    return stop


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
