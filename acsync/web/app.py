"""The HTTP service of one account: its routers, its secret, and the headers of its answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from acsync.settings import Settings
from acsync.store.database import Database
from acsync.web import routes
from acsync.web.auth import require_bearer_or_basic
from acsync.web.problems import explain_errors
from acsync.web.service import Service
from acsync.web.trigger import TRIGGER

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


def make_app(settings: Settings, database: Database, account: str | None) -> FastAPI:
    """Return the service of one account; it closes the database when it ends."""
    service = Service(settings, database, account)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(
        title="acsync",
        version=version("acsync"),
        description="The syncs of one ActiveCampaign account, and what they published.",
        openapi_url=None,  # a route serves it, because a private service closes it
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host that the request names
        servers=[{"url": "."}],  # a proxy may serve it under a path
        lifespan=lifespan,
        generate_unique_id_function=name_operation,
    )
    app.state.service = service
    app.include_router(routes.health)
    if settings.private:
        locked = [Depends(require_bearer_or_basic)]
        app.include_router(routes.pages, dependencies=locked, responses=routes.LOCKED)
    else:
        app.include_router(routes.pages)
    app.include_router(routes.trigger)
    # These files hold nothing of the account.
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(HeadAndHeaders)
    explain_errors(app)
    return app


def name_operation(route: APIRoute) -> str:
    """Return an id for the API's document, such as `sync_activecampaign_post`."""
    return f"{route.name}_{min(route.methods or {'get'}).lower()}"


class HeadAndHeaders:
    """Answer HEAD like GET, and keep browsers from running, framing or storing the answers.

    The server leaves out the body of an answer to HEAD.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, and add the headers to its answer."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and scope["path"] != TRIGGER:
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send_with_headers)
