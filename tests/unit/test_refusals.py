"""What a client makes of each status: try again, or say what is wrong and what to do.

The account answers from a script, on a simulated clock.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from acsync.activecampaign.client import Client
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.refused_answers import retry_after_seconds
from acsync.errors import AccessDenied, CallFailed, CallRefused

GOOD = httpx.Response(200, json={"contacts": [{"id": "1"}], "meta": {"total": "1"}})


class ScriptedAccount(httpx.BaseTransport):
    """Answers its responses one after another, the last one for all further calls.

    `calls` are the times at which calls arrived, in seconds from the start.
    """

    def __init__(self, *responses: httpx.Response) -> None:
        self.responses = list(responses)
        self.calls: list[float] = []
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def client(self) -> Client:
        """Return a client of this account that waits on its clock."""
        limiter = RateLimiter(1000, clock=lambda: self.now, sleep=self.sleep)
        return Client("http://localhost/api/3/", "the-key", limiter, transport=self)

    def handle_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002
        """Answer the next response."""
        self.calls.append(self.now)
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        return httpx.Response(
            response.status_code,
            headers=response.headers.raw,
            # Each call gets a new stream, because a response can be read once.
            stream=httpx.ByteStream(response.content),
        )


CHALLENGE = httpx.Response(403, html="<!DOCTYPE html><title>Just a moment...</title>")
SECRET = "ada@example.com"


@pytest.mark.parametrize("status", [204, 206, 300, 304, 408, 409, 425, 500, 503, 504])
def test_a_status_that_passes_is_tried_again(status: int) -> None:
    """None of them says anything about the key, the plan or the path."""
    account = ScriptedAccount(httpx.Response(status, json={"email": SECRET}), GOOD)

    page = account.client().get_page("contacts", {})

    assert len(page.rows) == 1
    assert len(account.calls) == 2


@pytest.mark.parametrize("status", [200, 201, 203, 206, 304])
def test_no_message_quotes_the_body_of_a_success(status: int) -> None:
    """It may hold a contact, and messages are shown on the dashboard."""
    account = ScriptedAccount(httpx.Response(status, json={"email": SECRET}))

    with pytest.raises(CallFailed) as caught:
        account.client().get_page("contacts", {})

    assert SECRET not in str(caught.value)
    assert f"status {status}" in str(caught.value)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308])
def test_a_location_is_a_redirect_and_never_followed(status: int) -> None:
    """It would carry the key to another host."""
    response = httpx.Response(status, headers={"Location": "https://elsewhere.example/"})
    account = ScriptedAccount(response)

    with pytest.raises(CallRefused, match="a redirect"):
        account.client().get_page("contacts", {})
    assert len(account.calls) == 1


def test_a_web_page_with_status_403_does_not_blame_the_key() -> None:
    """Cloudflare's challenge comes from something in front of the account."""
    account = ScriptedAccount(CHALLENGE)

    with pytest.raises(CallRefused) as caught:
        account.client().get_page("contacts", {})

    assert not isinstance(caught.value, AccessDenied)
    assert "a web page of something in front of the account" in str(caught.value)
    assert "AC_API_KEY" not in str(caught.value)
    assert len(account.calls) == 4


def test_a_403_without_a_page_is_about_the_key() -> None:
    """A wrong key is answered with no body and no content type."""
    account = ScriptedAccount(httpx.Response(403))

    with pytest.raises(AccessDenied, match="AC_API_KEY"):
        account.client().get_page("contacts", {})


def test_refusals_as_too_many_do_not_use_up_the_attempts() -> None:
    """Beside a busy program a page can be refused four times in a row."""
    too_many = httpx.Response(429, headers={"Retry-After": "30"})
    account = ScriptedAccount(*[too_many] * 6, httpx.Response(500), *[too_many] * 2, GOOD)

    page = account.client().get_page("contacts", {})

    assert len(page.rows) == 1
    assert len(account.calls) == 10
    assert account.now >= 8 * 30


def test_an_account_that_refuses_ten_times_is_given_up() -> None:
    """A sync that never stops waiting never releases its lease."""
    account = ScriptedAccount(httpx.Response(429, headers={"Retry-After": "1"}))

    with pytest.raises(CallFailed, match="status 429, too many calls"):
        account.client().get_page("contacts", {})

    assert len(account.calls) == 10


@pytest.mark.parametrize(
    "text",
    [
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "Fri, 99 Dec 99999999999999999999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "soon",
        "",
        "-1",
    ],
)
def test_a_retry_after_that_cannot_be_read_is_a_second(text: str) -> None:
    """A date outside the calendar is no reason for a traceback."""
    assert 0 <= retry_after_seconds(httpx.Response(429, headers={"Retry-After": text})) <= 1


def test_a_retry_after_is_seconds_or_a_date() -> None:
    """Both forms are in the standard."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)

    assert retry_after_seconds(httpx.Response(429, headers={"Retry-After": "30"})) == 30
    assert 58 < retry_after_seconds(httpx.Response(429, headers={"Retry-After": date})) <= 60


def test_a_wrong_key_is_found_by_one_of_several_threads() -> None:
    """Nine calls start a sync, and each of them repeated its own until it gave up."""
    account = ScriptedAccount(httpx.Response(403))
    client = account.client()

    with ThreadPoolExecutor(9) as threads:
        calls = [threads.submit(client.get_page, f"listing{n}", {}) for n in range(9)]
    errors = {str(call.exception()) for call in calls}

    assert len(account.calls) <= 9 + 3
    (error,) = errors
    assert "was answered with status 403, tried 4 times. Check AC_API_KEY" in error


def test_a_missing_right_does_not_blame_an_accepted_key() -> None:
    """Its user lacks the right to see one listing."""
    account = ScriptedAccount(GOOD, httpx.Response(403))
    client = account.client()
    client.get_page("contacts", {})

    for _ in range(2):
        with pytest.raises(AccessDenied, match="GET /api/3/contacts was answered"):
            client.get_page("contacts", {})

    assert len(account.calls) == 1 + 2 * 4
