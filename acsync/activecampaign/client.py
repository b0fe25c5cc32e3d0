"""Ask ActiveCampaign for one page, and give that page or a typed error, never less."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

import httpx
import tenacity

from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.responses import Page, TransientError, read_page
from acsync.errors import CallFailed, CallRefused, SyncFailed, sanitize

Params: TypeAlias = Mapping[str, str | int]

ATTEMPTS = 4
DEFAULT_PAUSE_SECONDS = 1.0
MAX_CONNECTIONS = 32
CHECK_KEY = "Check AC_API_KEY, and that its user may see every list and pipeline."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RequestLimits:
    """How long to wait for an answer, and before the first retry; the next waits double.

    A page of 100 contacts with their values can be slow to build on the server. The read timeout
    begins again with every page that arrives, so an answer that drips needs a deadline as well.
    Where a 429 asks for more than the longest pause, that pause is made once, and then the call
    fails.
    """

    read_timeout_seconds: float = 60.0
    deadline_seconds: float = 120.0
    largest_answer_bytes: int = 64 * 1024 * 1024
    first_wait_seconds: float = 0.5
    longest_pause_seconds: float = 60.0


DEFAULT_LIMITS = RequestLimits()


class Client:
    """Calls to one account, in pace; safe to share between threads.

    Seconds-long trouble is retried here three times; redirects are never followed, since
    they would carry the key to another host. `observe` sees the headers of every answer.
    """

    def __init__(
        self,
        account_url: str,
        api_key: str,
        budget: RateLimiter,
        limits: RequestLimits = DEFAULT_LIMITS,
        transport: httpx.BaseTransport | None = None,
        observe: Callable[[httpx.Response], None] | None = None,
    ) -> None:
        self.budget = budget
        self._limits = limits
        self._http = httpx.Client(
            base_url=account_url,
            headers={"Api-Token": api_key, "Accept": "application/json"},
            timeout=httpx.Timeout(10, read=limits.read_timeout_seconds, pool=120),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=60),
            follow_redirects=False,
            transport=transport,
            event_hooks={"response": [observe] if observe else []},
        )
        wait = limits.first_wait_seconds
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=tenacity.wait_exponential_jitter(multiplier=wait, max=10, jitter=wait),
            before_sleep=self._note_retry,
            reraise=True,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get_page(self, path: str, params: Params, attempts: int = ATTEMPTS) -> Page:
        """Fetch the collection `path`, whose rows stand under the same key.

        Raises CallFailed after the last retry and CallRefused for what no retry can mend;
        both name the call. Source: https://developers.activecampaign.com/reference/pagination
        """
        call = f"GET {self._http.base_url.path}{path}?{httpx.QueryParams(params)}"
        retrying = self._retrying.copy(
            stop=lambda state: state.attempt_number >= attempts or _is_hopeless(state)
        )
        try:
            return retrying(self._attempt, path, params)
        except TransientError as trouble:
            tried = f"{retrying.statistics['attempt_number']} times"
            if trouble.remedy:
                raise CallRefused(
                    f"ActiveCampaign answered {call} with {trouble}, {tried}. {trouble.remedy}"
                ) from None
            raise CallFailed(
                f"ActiveCampaign gave no usable answer to {call}: {trouble}, tried {tried}. "
                "It is tried again by the next sync."
            ) from None

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        self.budget.count_retry()
        outcome = state.outcome
        logger.debug("call tried again: %s", outcome.exception() if outcome else "")

    def _attempt(self, path: str, params: Params) -> Page:
        released_at = self.budget.wait_turn()
        if self._http.is_closed:
            raise SyncFailed(f"The sync was ended before GET {path} was called.")
        try:
            with self._http.stream("GET", path, params=dict(params)) as response:
                content = self._read_whole(response, released_at)
        except httpx.RequestError as error:
            raise TransientError(f"{type(error).__name__} ({error})") from None
        if response.status_code == httpx.codes.OK:
            return read_page(content, path)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise self._too_many(response, released_at)
        raise self._refusal(response, content)

    def _read_whole(self, response: httpx.Response, released_at: float) -> bytes:
        """Read the body as it arrives, but neither for ever nor without end."""
        content, limits = bytearray(), self._limits
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > limits.largest_answer_bytes:
                raise TransientError(
                    f"an answer of more than {limits.largest_answer_bytes:,} bytes"
                )
            if time.monotonic() > released_at + limits.deadline_seconds:
                raise TransientError(f"an answer not whole after {limits.deadline_seconds:g} s")
        return bytes(content)

    def _too_many(self, response: httpx.Response, released_at: float) -> TransientError:
        """Let the refusal pause everybody; its body is not known and not read."""
        asked, longest = retry_after_seconds(response), self._limits.longest_pause_seconds
        self.budget.refuse(released_at, min(asked, longest))
        reason = f"status 429, too many calls (Retry-After: {_retry_after(response) or 'no time'})"
        if asked <= longest:
            return TransientError(reason)
        return TransientError(
            reason,
            remedy=f"It asks for a pause of {asked:,.0f} s; {longest:g} s were waited. Find out "
            "what else uses the account's calls, and sync again after that time.",
            too_long=True,
        )

    def _refusal(self, response: httpx.Response, content: bytes) -> Exception:
        status = response.status_code
        if status == 403:
            return TransientError(f"status 403{_detail(content)}", remedy=CHECK_KEY)
        if status >= 500 or status == 408:
            return TransientError(f"status {status}")
        call = f"GET {response.url.raw_path.decode('ascii', 'replace')}"
        if response.is_redirect:
            return CallRefused(
                f"ActiveCampaign answered {call} with a redirect, which would carry the key to "
                "another address. Set AC_API_URL to the URL under Settings, Developer."
            )
        return CallRefused(
            f"ActiveCampaign refused {call} with status {status}{_detail(content)}. Check "
            "AC_API_URL, AC_API_KEY and the plan of the account."
        )


def _is_hopeless(state: tenacity.RetryCallState) -> bool:
    """Give up where a long pause is asked for once more: it was cut short, not obeyed."""
    trouble = state.outcome.exception() if state.outcome else None
    return state.attempt_number > 1 and isinstance(trouble, TransientError) and trouble.too_long


def _detail(content: bytes) -> str:
    """Give what the API says about a refusal; a 403 may have no body and no content type.

    Never in the charset of the answer's header: one such as `base64` makes decoding raise.
    """
    text = sanitize(content[:1000].decode("utf-8", "replace"))[:200]
    return f" ({text})" if text else ""


def _retry_after(response: httpx.Response) -> str:
    return str(response.headers.get("Retry-After", "")).strip()[:40]


def retry_after_seconds(response: httpx.Response) -> float:
    """Read `Retry-After` as seconds or as an HTTP date; 1 s where it is absent or unreadable."""
    text = _retry_after(response)
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return DEFAULT_PAUSE_SECONDS
    return max(seconds, 0.0)
