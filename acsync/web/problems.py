"""Answer every error with what happened and what to do: JSON, or a page in a browser."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from acsync.errors import AcsyncError
from acsync.web.pages import render_page
from acsync.web.trigger import TRIGGER


def explain_errors(app: FastAPI) -> None:
    """Turn every error into one sentence or two; no stack trace leaves the service."""

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: Any) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = "GET, POST" if request.url.path == TRIGGER else "GET, HEAD"
        sentence = {
            404: "There is nothing at this address. See /openapi.json for all addresses.",
            405: "This address does not take that method. See /openapi.json.",
        }.get(error.status_code, error.detail)
        return answer(request, error.status_code, AcsyncError(sentence), headers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: Any) -> Response:
        first = error.errors()[0]
        name = first["loc"][-1]
        sentence = f"The parameter {name}: {first['msg']}."
        if first["type"] == "extra_forbidden":  # without its value, which may be the secret
            sentence = f"There is no parameter {name!r} here. See /openapi.json."
        return answer(request, 422, AcsyncError(sentence))

    @app.exception_handler(AcsyncError)
    def unavailable(request: Request, error: Any) -> Response:
        return answer(request, 503, error)

    @app.exception_handler(Exception)
    def failed(request: Request, _error: Any) -> Response:
        return answer(request, 500, AcsyncError("The service failed; the reason is in its log."))


def answer(
    request: Request, status: int, error: AcsyncError, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a page if the client asks for HTML, as browsers do, and JSON otherwise."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"error": str(error)}, status, headers)
    # Relative, because a proxy may serve this under a path.
    root = "../" * (request.url.path.count("/") - 1)
    page = render_page("problem.html", status, root=root, number=status, error=error)
    page.headers.update(headers or {})
    return page
