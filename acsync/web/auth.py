"""Refuse requests without the secret, which only the Authorization header may carry."""

import hmac
from typing import Annotated, TypeAlias

from fastapi import Depends, HTTPException
from fastapi.security import (
    HTTPAuthorizationCredentials,
    HTTPBasic,
    HTTPBasicCredentials,
    HTTPBearer,
)
from pydantic import SecretStr

from acsync.web.service import OurService

Bearer: TypeAlias = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))
]
Basic: TypeAlias = Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))]


def require_bearer(service: OurService, bearer: Bearer) -> None:
    """Answer 401 without the bearer token, or to everybody if none is set."""
    if not is_secret(service.settings.cron_secret, bearer.credentials if bearer else None):
        raise HTTPException(
            401,
            "Send the service's CRON_SECRET in the header `Authorization: Bearer`. If it is not "
            "set, nobody can start a sync.",
            {"www-authenticate": "Bearer"},
        )


def require_bearer_or_basic(service: OurService, bearer: Bearer, basic: Basic) -> None:
    """Also take the password of HTTP Basic, so that browsers can ask for it."""
    password = basic.password if basic else None
    sent = bearer.credentials if bearer else password
    if not is_secret(service.settings.cron_secret, sent):
        raise HTTPException(
            401,
            "This service is private: send its CRON_SECRET as a bearer token, or as the password "
            "of HTTP Basic.",
            {"www-authenticate": 'Basic realm="acsync", charset="UTF-8"'},
        )


def is_secret(secret: SecretStr | None, sent: str | None) -> bool:
    """Compare in constant time; without a secret nothing is right."""
    if secret is None or sent is None:
        return False
    return hmac.compare_digest(sent.encode(), secret.get_secret_value().encode())
