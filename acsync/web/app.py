"""The routes of the HTTP service, who may use them, and what its errors look like."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBasic, HTTPBearer
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from swagger_ui_bundle import swagger_ui_path

from acsync.errors import AcsyncError
from acsync.settings import Settings
from acsync.store.database import Database
from acsync.web.auth import RequireSecret
from acsync.web.service import Service

STATIC = Path(__file__).parent / "static"
TRIGGER = "/api/sync-activecampaign"
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


def make_app(settings: Settings, database: Database, account: str | None) -> FastAPI:
    """Return the service of one account; it closes the database when it ends."""
    service = Service(settings, database, account)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(
        title="acsync",
        version=version("acsync"),
        description="The syncs of one ActiveCampaign account, and what they published.",
        openapi_url=None,  # a route of ours, which may be closed
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host that the request names
        servers=[{"url": "."}],  # also behind a proxy that gives it a path of its own
        lifespan=life,
    )
    app.openapi_version = "3.0.3"  # all that the bundled Swagger UI (4.15) knows
    _explain_errors(app)
    _add_pages(app, service, settings)
    _add_trigger(app, service, settings)
    # Nothing of the account is in these files.
    app.mount("/static/swagger", StaticFiles(directory=swagger_ui_path))
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(Headers)
    return app


def _add_pages(app: FastAPI, service: Service, settings: Settings) -> None:
    """Add what answers GET and HEAD; all but the health is closed where the service is private."""
    closed = [Depends(only())]
    if settings.private:
        secret = RequireSecret(settings.cron_secret, basic=True)
        closed += [Depends(HTTPBasic(auto_error=False)), Depends(secret)]
    statuses = (401, 422, 503) if settings.private else (422, 503)
    for path, endpoint, summary in (
        ("/api/sync-status", service.sync_status, "How the syncs went, and what is published"),
        ("/healthz", service.healthz, "Whether the data is fresh"),
        ("/metrics", service.metrics, "Metrics for Prometheus"),
        ("/badge.svg", service.badge, "The age of the data as a picture"),
        ("/", service.dashboard, None),
        ("/live", service.live, None),
        ("/queries", service.queries, None),
        ("/docs", service.docs, None),
        ("/openapi.json", service.openapi, None),
    ):
        needed = [Depends(only())] if path == "/healthz" else closed
        route = Route(path, endpoint, needed, statuses)
        route.add(app, ["GET", "HEAD"], described=["GET"] if summary else [], summary=summary)


def _add_trigger(app: FastAPI, service: Service, settings: Settings) -> None:
    needed = [
        Depends(HTTPBearer(auto_error=False)),
        Depends(RequireSecret(settings.cron_secret)),
        Depends(only("wait")),
        Depends(refuse_body),
    ]
    route = Route(TRIGGER, service.sync_activecampaign, needed, (202, 401, 409, 422, 500, 503))
    route.add(app, ["GET", "POST"], described=["GET", "POST"], summary="Start a sync")


@dataclass(frozen=True)
class Route:
    """One address, what answers there, what that needs, and the statuses beside 200."""

    path: str
    endpoint: Callable[..., Any]
    dependencies: Sequence[Any]
    statuses: tuple[int, ...]

    def add(
        self, app: FastAPI, methods: list[str], described: list[str], summary: str | None
    ) -> None:
        """Add it for all methods at once, so that a wrong one is answered with all of them.

        FastAPI describes the methods of one route under one name, so each is described apart.
        """
        given: dict[str, Any] = {
            "dependencies": self.dependencies,
            "response_class": Response,
        }
        app.add_api_route(
            self.path, self.endpoint, methods=methods, include_in_schema=False, **given
        )
        for method in described:
            app.add_api_route(
                self.path,
                self.endpoint,
                methods=[method],
                operation_id=f"{self.endpoint.__name__}_{method.lower()}",
                summary=summary,
                responses=describe(*self.statuses),
                **given,
            )


def describe(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the API's document says of these answers."""
    words = {
        202: "The sync was started: id and URL of its flow run.",
        401: "The secret is missing.",
        409: "A sync is running.",
        422: "A parameter or a body that this address does not take.",
        500: "The sync was not complete.",
        503: "Postgres or Prefect does not answer, or the data is too old.",
    }
    plain = (202, 500)
    return {
        status: {"description": words[status]} | ({} if status in plain else {"model": Problem})
        for status in statuses
    }


def only(*names: str) -> Callable[[Request], None]:
    """Return a dependency that refuses query parameters of other names."""

    def refuse(request: Request) -> None:
        if unknown := sorted(set(request.query_params) - {*names}):
            known = f"It takes {', '.join(names)}." if names else "It takes none."
            # Without the value: somebody may have put the secret there.
            raise HTTPException(422, f"There is no parameter {unknown[0]!r} here. {known}")

    return refuse


async def refuse_body(request: Request) -> None:
    """Refuse any body: a dependency."""
    async for part in request.stream():
        if part.strip():
            raise HTTPException(422, "This address takes no body.")


class Headers:
    """Keep browsers from running, framing or keeping what this service answers."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, and add to the head of its answer."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _explain_errors(app: FastAPI) -> None:
    """Turn every error into JSON with one sentence; no stack trace leaves the service."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(AcsyncError, _unavailable)
    app.add_exception_handler(Exception, _failed)


def _refused(_request: Request, error: Any) -> JSONResponse:
    sentence = {
        404: "There is nothing at this address. What there is: see /docs.",
        405: "This address does not take that method. What it takes: see /docs.",
    }.get(error.status_code, error.detail)
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


def _invalid(_request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse({"error": f"The parameter {name}: {first['msg']}."}, 422)


def _unavailable(_request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 503)


def _failed(_request: Request, _error: Any) -> JSONResponse:
    return JSONResponse({"error": "The service failed; the reason is in its log."}, 500)
