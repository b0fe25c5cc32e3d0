"""The addresses of the HTTP service, and what each of them answers."""

from itertools import chain
from typing import Annotated, Any, TypeAlias

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, ConfigDict, Field

from acsync.errors import AcsyncError
from acsync.web.auth import require_bearer
from acsync.web.charts import FEWEST_POINTS, make_charts
from acsync.web.data_page import JOINS, KEYS, make_boxes, make_topics
from acsync.web.freshness import GREY
from acsync.web.pages import render_badge, render_page
from acsync.web.queries import FIRST, PITFALLS
from acsync.web.service import OurService
from acsync.web.trigger import TRIGGER
from flows.links import ui_url

Answers: TypeAlias = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """The answer to every request that did not succeed: what happened, and what to do."""

    error: str


# What the API's document says of the statuses.
LOCKED: Answers = {401: {"description": "The secret is missing.", "model": Problem}}
READ: Answers = {
    422: {"description": "A parameter or a body that it does not take.", "model": Problem},
    503: {
        "description": "Postgres or Prefect does not answer, or the data is too old.",
        "model": Problem,
    },
}
STARTED: Answers = {
    202: {"description": "The sync was started: id and URL of its flow run."},
    409: {"description": "A sync is running.", "model": Problem},
    500: {"description": "The sync was not complete."},
}


class Parameters(BaseModel):
    """No parameters. A misspelt one is an error: `?wiat=false` would wait for the whole sync."""

    model_config = ConfigDict(extra="forbid")


class SyncParameters(Parameters):
    """The parameters of the trigger."""

    wait: bool = Field(True, description="Answer when the sync has ended; false: at once.")


def require_no_parameters(_none: Annotated[Parameters, Query()]) -> None:
    """Refuse all parameters."""


async def require_no_body(request: Request) -> None:
    """Refuse any body, which might ask for something other than a whole sync."""
    async for part in request.stream():
        if part.strip():
            raise HTTPException(422, "This address takes no body.")


# A private service leaves it open.
health = APIRouter(dependencies=[Depends(require_no_parameters)], responses=READ)
# A private service asks for its secret.
pages = APIRouter(
    dependencies=[Depends(require_no_parameters)],
    responses=READ,
    default_response_class=Response,
)
trigger = APIRouter(
    dependencies=[Depends(require_bearer), Depends(require_no_body)],
    responses=STARTED | LOCKED | READ,
    default_response_class=Response,
)


@health.get("/healthz", summary="Whether the data is fresh")
async def healthz(service: OurService) -> Response:
    """Return 200 if the last full sync of every dataset is not stale, else 503."""
    try:
        bad = [
            dataset.sentence
            for dataset in (await service.judge()).datasets
            if dataset.verdict in ("stale", "never")
        ]
    except AcsyncError as error:
        bad = [str(error)]
    if not bad:
        return JSONResponse({"status": "ok"})
    return JSONResponse({"error": "Unhealthy." if service.settings.private else " ".join(bad)}, 503)


@pages.get("/api/sync-status", summary="How the syncs went, and what is published")
async def sync_status(service: OurService) -> Response:
    """Return what `acsync status --json` prints."""
    _, payload = await service.status.get()
    return Response(payload, media_type="application/json")


@pages.get("/metrics", summary="Metrics for Prometheus")
async def metrics(service: OurService, request: Request) -> Response:
    """Return the metrics for Prometheus."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    text = await to_thread.run_sync(encode, service.registry)
    return Response(text, headers={"content-type": content_type})


@pages.get("/badge.svg", summary="The age of the data as a picture")
async def badge(service: OurService) -> Response:
    """Return the age of the oldest dataset as a picture, also if it is not known."""
    try:
        judgement = await service.judge()
    except AcsyncError:
        return render_badge("unknown", GREY)
    return render_badge(judgement.badge, judgement.look.colour)


@pages.get("/", include_in_schema=False)
async def dashboard(service: OurService) -> Response:
    """Return the page for people."""
    live_values, week = await service.live_values(), await service.week.get()
    questions = chain.from_iterable(service.cookbook.values())
    return render_page(
        "dashboard.html",
        **live_values,
        charts=make_charts(week),
        points=len(week),
        fewest_points=FEWEST_POINTS,
        questions=[question for question in questions if question.name in FIRST],
        psql=service.psql,
        prefect_url=ui_url(),
        version=service.version,
    )


@pages.get("/live", include_in_schema=False)
async def live(service: OurService) -> Response:
    """Return the live part of the page."""
    return render_page("live.html", **await service.live_values())


@pages.get("/queries", include_in_schema=False)
async def queries(service: OurService) -> Response:
    """Return the cookbook's page."""
    return render_page("queries.html", topics=service.cookbook)


@pages.get("/data", include_in_schema=False)
async def data(service: OurService) -> Response:
    """Return the data dictionary of the account."""
    dictionary = await service.dictionary.get()
    return render_page(
        "data.html",
        topics=make_topics(dictionary),
        fields=dictionary.fields,
        records=dictionary.records,
        boxes=make_boxes(),
        joins=JOINS,
        keys=KEYS,
        pitfalls=service.cookbook[PITFALLS],
    )


@pages.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Return the API's document."""
    return JSONResponse(request.app.openapi())


@trigger.post(TRIGGER, summary="Start a sync")
@trigger.get(TRIGGER, summary="Start a sync")
async def sync_activecampaign(
    service: OurService, parameters: Annotated[SyncParameters, Query()]
) -> Response:
    """Run a sync; a client that hangs up stops nothing."""
    return await service.trigger.sync(parameters.wait)
