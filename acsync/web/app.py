"""The addresses of the HTTP service, and who may use them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from acsync.settings import Settings
from acsync.store.database import Database
from acsync.web.auth import RequireBearer, RequireBearerOrBasic
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


class Problem(BaseModel):
    """The answer to every request that did not succeed: what happened, and what to do."""

    error: str


ANSWERS: dict[int, dict[str, Any]] = {
    202: {"description": "The sync was started: id and URL of its flow run."},
    401: {"description": "The secret is missing.", "model": Problem},
    409: {"description": "A sync is running.", "model": Problem},
    422: {
        "description": "A parameter or a body that it does not take.",
        "model": Problem,
    },
    500: {"description": "The sync was not complete."},
    503: {
        "description": "Postgres or Prefect does not answer, or the data is too old.",
        "model": Problem,
    },
}


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
        openapi_url=None,  # served below, because a private service closes it
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host that the request names
        servers=[{"url": "."}],  # a proxy may serve it under a path
        lifespan=lifespan,
        generate_unique_id_function=name_operation,
    )
    app.include_router(make_health(service))
    app.include_router(make_pages(service, settings))
    app.include_router(make_trigger(service, settings))
    # These files hold nothing of the account.
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(HeadAndHeaders)
    explain_errors(app)
    return app


def name_operation(route: APIRoute) -> str:
    """Return an id for the API's document, such as `sync_activecampaign_post`."""
    return f"{route.name}_{min(route.methods or {'get'}).lower()}"


def make_health(service: Service) -> APIRouter:
    """Return the health check, which a private service leaves open."""
    router = APIRouter(dependencies=[Depends(only())])
    router.get("/healthz", summary="Whether the data is fresh", responses=answers(422, 503))(
        service.healthz
    )
    return router


def make_pages(service: Service, settings: Settings) -> APIRouter:
    """Return what can be read; a private service asks for its secret."""
    dependencies, statuses = [Depends(only())], [422, 503]
    if settings.private:
        dependencies.append(Depends(RequireBearerOrBasic(settings.cron_secret)))
        statuses.append(401)
    router = APIRouter(dependencies=dependencies, default_response_class=Response)
    get = partial(router.get, responses=answers(*statuses))
    get("/api/sync-status", summary="How the syncs went, and what is published")(
        service.sync_status
    )
    get("/metrics", summary="Metrics for Prometheus")(service.metrics)
    get("/badge.svg", summary="The age of the data as a picture")(service.badge)
    page = partial(router.get, include_in_schema=False)
    page("/")(service.dashboard)
    page("/live")(service.live)
    page("/queries")(service.queries)
    page("/data")(service.data)
    page("/openapi.json")(service.openapi)
    return router


def make_trigger(service: Service, settings: Settings) -> APIRouter:
    """Return the address that starts a sync."""
    router = APIRouter(
        dependencies=[
            Depends(RequireBearer(settings.cron_secret)),
            Depends(only("wait")),
            Depends(refuse_body),
        ],
        default_response_class=Response,
    )
    responses = answers(202, 401, 409, 422, 500, 503)
    for method in (router.get, router.post):
        method(TRIGGER, summary="Start a sync", responses=responses)(service.sync_activecampaign)
    return router


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the API's document says of these statuses."""
    return {status: ANSWERS[status] for status in statuses}


def only(*names: str) -> Callable[[Request], None]:
    """Return a dependency that refuses query parameters with other names."""

    def refuse(request: Request) -> None:
        if unknown := sorted(set(request.query_params) - {*names}):
            known = f"It takes {', '.join(names)}." if names else "It takes none."
            # Without the value, which may be the secret.
            raise HTTPException(422, f"There is no parameter {unknown[0]!r} here. {known}")

    return refuse


async def refuse_body(request: Request) -> None:
    """Refuse any body."""
    async for part in request.stream():
        if part.strip():
            raise HTTPException(422, "This address takes no body.")


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
