"""Start a sync over HTTP: through the deployment, or in a child process without one."""

import asyncio
import logging
import signal
import time
from functools import partial
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import UUID

from anyio import to_thread
from fastapi.responses import JSONResponse
from prefect.client.schemas.objects import State

from acsync.datasets import DATASETS
from acsync.errors import AcsyncError, LeaseHeld
from acsync.process import PYTHON, end_with_parent
from acsync.store.database import Database
from acsync.store.sync_history import (
    SyncRecord,
    read_recent_syncs,
    read_sync_after,
    read_sync_of_run,
)
from acsync.store.sync_status import RunningSync, read_running
from flows.runs import find_deployment_id, read_state, run_url, start_run
from flows.sync_activecampaign import TURNED_AWAY

TRIGGER = "/api/sync-activecampaign"

LOOK_SECONDS = 0.5

# After this long without a worker, answer the caller; the run stays queued.
TAKEN_WITHIN_SECONDS = 300.0

# How long to wait for a child process that does not hold the lease: it is starting or exiting.
CHILD_SECONDS = 60.0

# How long to wait for Prefect's server before telling the caller.
AWAY_SECONDS = 60.0

# A sync that is told to stop closes its log row first.
END_SECONDS = 15.0

logger = logging.getLogger(__name__)


class Trigger:
    """Starts the syncs of one account and waits for them; a caller that hangs up stops nothing."""

    def __init__(self, database: Database, account: str | None) -> None:
        self._database, self._account = database, account
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()  # so that two requests do not both start a child

    async def sync(self, wait: bool) -> JSONResponse:
        """Start a sync and answer as the contract says; raises AcsyncError before it began."""
        async with self._starting:
            await self._wait_for_idle_child()
            if running := await self._running():
                return running
            deployment_id = await to_thread.run_sync(find_deployment_id, self._account)
            if deployment_id is None:
                child = await self._start_child()
        if deployment_id is None:
            return await self._wait_for_child(*child) if wait else _accepted(None, None)
        run_id = await to_thread.run_sync(start_run, deployment_id)
        logger.info("flow run %s was started over HTTP", run_id)
        if not wait:
            return _accepted(str(run_id), run_url(run_id))
        return await self._wait_for_run(run_id)

    async def close(self) -> None:
        """Stop a sync that runs in a child process; it closes its log row first."""
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), END_SECONDS)
            except TimeoutError:
                self._process.kill()

    async def _wait_for_idle_child(self) -> None:
        """Wait until a child process that does not hold the lease takes it, or exits."""
        for _ in range(round(CHILD_SECONDS / LOOK_SECONDS)):
            if not self._child_is_alive() or await self._read_running():
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _child_is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _read_running(self) -> RunningSync | None:
        return await to_thread.run_sync(read_running, self._database)

    async def _running(self) -> JSONResponse | None:
        running = await self._read_running()
        if running and running.kind == "incremental":
            running = None  # a full sync waits for it
        if running is None and not self._child_is_alive():
            return None
        sync_id = running.sync_id if running else None
        return JSONResponse(
            {
                "error": f"{sync_id or 'A sync'} is running. Wait until it ends: see "
                "/api/sync-status.",
                "syncId": sync_id,
            },
            409,
        )

    async def _wait_for_run(self, run_id: UUID) -> JSONResponse:
        """Wait until a flow run ends; raise AcsyncError if no worker takes it."""
        waited, last_answer = 0.0, time.monotonic()
        while True:
            try:
                state = await to_thread.run_sync(read_state, run_id)
                last_answer = time.monotonic()
            except AcsyncError:
                # The run does not end with Prefect's server, which may be restarting.
                if time.monotonic() - last_answer > AWAY_SECONDS:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if state.is_final():
                return await self._result_of(run_id, state)
            is_waiting = state.is_scheduled() or state.is_pending()
            if is_waiting and waited > TAKEN_WITHIN_SECONDS:
                raise AcsyncError(
                    f"No worker has taken flow run {run_id} for {TAKEN_WITHIN_SECONDS:.0f} s; it "
                    "stays queued.",
                    "Start a worker: acsync worker",
                )
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS

    async def _result_of(self, run_id: UUID, state: State[Any]) -> JSONResponse:
        logged = await to_thread.run_sync(read_sync_of_run, self._database, str(run_id))
        if logged:
            return result(logged)
        if state.name in (TURNED_AWAY, "Cancelled"):
            return await self._running() or JSONResponse({"error": state.message}, 409)
        message = state.message or f"Flow run {run_id} ended as {state.name}."
        return JSONResponse({"error": message}, 500)

    async def _start_child(self) -> tuple[asyncio.subprocess.Process, IO[bytes], str | None]:
        """Start a sync; return its process, its errors, and the id of the sync before it."""
        recent = await to_thread.run_sync(read_recent_syncs, self._database)
        account = ["--account", self._account] if self._account else []
        # A file, because children of a killed sync would keep a pipe open.
        errors = TemporaryFile()  # noqa: SIM115  # it closes with the last reference
        # Linux stops a child together with the thread that started it: this one lives as long as
        # the service.
        self._process = await asyncio.create_subprocess_exec(
            *(*PYTHON, "-m", "acsync", "sync", *account),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=partial(end_with_parent, signal.SIGHUP),
        )
        logger.info("a sync was started over HTTP, in process %d", self._process.pid)
        return self._process, errors, recent[0].sync_id if recent else None

    async def _wait_for_child(
        self, process: asyncio.subprocess.Process, errors: IO[bytes], before: str | None
    ) -> JSONResponse:
        status = await process.wait()
        errors.seek(0)
        error = _last_paragraph(errors.read())
        logged = await to_thread.run_sync(read_sync_after, self._database, before)
        if status == LeaseHeld.exit_status:
            return await self._running() or JSONResponse({"error": error}, 409)
        return result(logged) if logged else JSONResponse({"error": error}, 500)


def result(logged: SyncRecord) -> JSONResponse:
    """Return how a sync ended: status 200 if it was complete, 500 if not."""
    duration_ms = logged.duration_ms or 0
    body: dict[str, Any] = {
        "syncId": logged.sync_id,
        "timestamp": logged.started.isoformat(),
        "durationMs": duration_ms,
        "durationMinutes": f"{duration_ms / 60_000:.2f}",
    }
    for name in DATASETS:
        if dataset := logged.datasets.get(name):
            body[name] = {
                "success": dataset.success,
                "recordCount": dataset.count,
                "durationMs": dataset.duration_ms,
            } | ({"error": dataset.error} if dataset.error else {})
    return JSONResponse(body, 200 if logged.success else 500)


def _accepted(run_id: str | None, url: str | None) -> JSONResponse:
    return JSONResponse({"flowRunId": run_id, "flowRunUrl": url}, 202)


def _last_paragraph(errors: bytes) -> str:
    """Return the last paragraph that a command wrote to standard error."""
    text = errors.decode(errors="replace").strip()
    return (
        text.rpartition("\n\n")[2]
        or "The sync ended without an error message; see the service's log."
    )
