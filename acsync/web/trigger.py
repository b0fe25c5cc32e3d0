"""Start a sync over HTTP: through the deployment, or in a child process without one."""

import asyncio
import logging
import signal
import sys
import time
from functools import partial
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

from anyio import to_thread
from fastapi.responses import JSONResponse

from acsync.datasets import DATASETS
from acsync.errors import AcsyncError
from acsync.process import end_with_parent
from acsync.store.database import Database
from acsync.store.sync_history import (
    SyncRecord,
    read_recent_syncs,
    read_running,
    read_sync_after,
    read_sync_of_run,
)
from flows.runs import RunState, find_deployment, read_state, run_url, start_run
from flows.sync_activecampaign import TURNED_AWAY

LOOK_SECONDS = 0.5

# After this long without a worker, answer the caller; the run stays queued.
TAKEN_WITHIN_SECONDS = 300.0

# How long to wait for Prefect's server before telling the caller.
AWAY_SECONDS = 60.0

# A sync that is told to stop closes its log row first.
END_SECONDS = 15.0

# Exit status of `acsync sync` if another sync is running.
LEASE_HELD = 3

logger = logging.getLogger(__name__)


class Trigger:
    """Starts the syncs of one account and waits for them; a caller that hangs up stops nothing."""

    def __init__(self, database: Database, account: str | None) -> None:
        self._database, self._account = database, account
        self._process: asyncio.subprocess.Process | None = None

    async def sync(self, wait: bool) -> JSONResponse:
        """Start a sync and answer as the contract says; raises AcsyncError before it began."""
        if running := await self._running():
            return running
        deployment_id = await to_thread.run_sync(find_deployment, self._account)
        if deployment_id is None:
            return await self._sync_here(wait)
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

    async def _running(self) -> JSONResponse | None:
        running = await to_thread.run_sync(read_running, self._database)
        if running is None and (self._process is None or self._process.returncode is not None):
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
        waited, heard = 0.0, time.monotonic()
        while True:
            try:
                state = await to_thread.run_sync(read_state, run_id)
                heard = time.monotonic()
            except AcsyncError:
                # The run does not end with Prefect's server, which may be restarting.
                if time.monotonic() - heard > AWAY_SECONDS:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if state.ended:
                return await self._result_of(run_id, state)
            if not state.started and waited > TAKEN_WITHIN_SECONDS:
                raise AcsyncError(
                    f"No worker has taken flow run {run_id} for {TAKEN_WITHIN_SECONDS:.0f} s; it "
                    "stays queued.",
                    "Start a worker: acsync worker",
                )
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS

    async def _result_of(self, run_id: UUID, state: RunState) -> JSONResponse:
        logged = await to_thread.run_sync(read_sync_of_run, self._database, str(run_id))
        if logged:
            return result(logged)
        if state.name in (TURNED_AWAY, "Cancelled"):
            return await self._running() or JSONResponse({"error": state.message}, 409)
        message = state.message or f"Flow run {run_id} ended as {state.name}."
        return JSONResponse({"error": message}, 500)

    async def _sync_here(self, wait: bool) -> JSONResponse:
        recent = await to_thread.run_sync(read_recent_syncs, self._database)
        before = recent[0].sync_id if recent else None
        words = ["--account", self._account] if self._account else []
        # Linux stops a child together with the thread that started it: this one lives as long as
        # the service. Standard error is a file, because children of a killed sync would keep a
        # pipe open.
        with TemporaryFile() as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "acsync", "sync", *words),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=partial(end_with_parent, signal.SIGHUP),
            )
            self._process = process
            logger.info("a sync was started over HTTP, in process %d", process.pid)
            if not wait:
                return _accepted(None, None)
            status = await process.wait()
            errors.seek(0)
            error = _last_paragraph(errors.read())
        logged = await to_thread.run_sync(read_sync_after, self._database, before)
        if status == LEASE_HELD:
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
