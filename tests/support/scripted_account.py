"""An account that answers from a script, on a simulated clock."""

import httpx

from acsync.activecampaign.client import DEFAULT_LIMITS, Client, RequestLimits
from acsync.activecampaign.rate_limiter import RateLimiter

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

    def client(self, limits: RequestLimits = DEFAULT_LIMITS) -> Client:
        """Return a client of this account that waits on its clock."""
        limiter = RateLimiter(1000, clock=lambda: self.now, sleep=self.sleep)
        return Client("http://localhost/api/3/", "the-key", limiter, limits, self)

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
