"""The URLs of Prefect's API and UI, without the login that they may contain."""

import re
from urllib.parse import urlsplit
from uuid import UUID

from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL
from prefect.utilities.urls import url_for

from acsync.setting_types import LOOPBACK

LOGIN = re.compile(r"(?<=://)[^/?#]*@")


def api_url() -> str | None:
    """Return the URL of Prefect's API, or None if no API is set."""
    return _hide_login(PREFECT_API_URL.value())


def is_local_api() -> bool:
    """Return whether the API's address leads nowhere from another machine or a container."""
    return urlsplit(PREFECT_API_URL.value() or "").hostname in LOOPBACK


def ui_url() -> str | None:
    """Return the URL of Prefect's UI, or None if no API is set."""
    return _hide_login(PREFECT_UI_URL.value()) if PREFECT_API_URL.value() else None


def page_url(kind: str, page_id: UUID | str) -> str | None:
    """Return the URL of a page of the UI, such as a `flow-run`, or None without a UI."""
    return _hide_login(url_for(kind, obj_id=page_id))


def _hide_login(url: str | None) -> str | None:
    """Remove `USER:PASSWORD@` from a URL; Prefect derives its links from PREFECT_API_URL."""
    return url and LOGIN.sub("", url)
