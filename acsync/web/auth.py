"""Refuse requests without the secret, which only the Authorization header may carry.

It is compared in constant time.
"""

import base64
import binascii
import hmac

from fastapi import HTTPException, Request
from pydantic import SecretStr


class RequireSecret:
    """A dependency that answers 401 without the secret; without one set, to everybody.

    Where `basic` is allowed, so that browsers can ask for it, the password of HTTP Basic will do.
    """

    def __init__(self, secret: SecretStr | None, basic: bool = False) -> None:
        self._secret = secret.get_secret_value() if secret else ""
        self._basic = basic

    def __call__(self, request: Request) -> None:
        """Raise HTTPException without the secret."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        given = text.strip() if scheme.lower() == "bearer" else ""
        if self._basic and scheme.lower() == "basic":
            given = _password_of(text)
        if self._secret and hmac.compare_digest(given.encode(), self._secret.encode()):
            return
        if self._basic:
            raise HTTPException(
                401,
                "This service is private: send its CRON_SECRET as a bearer token, or as the "
                "password of HTTP Basic.",
                {"www-authenticate": 'Basic realm="acsync", charset="UTF-8"'},
            )
        raise HTTPException(
            401,
            "Send the service's CRON_SECRET in the header `Authorization: Bearer`. Where it is "
            "not set, nobody may start a sync.",
            {"www-authenticate": "Bearer"},
        )


def _password_of(text: str) -> str:
    try:
        return base64.b64decode(text.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
