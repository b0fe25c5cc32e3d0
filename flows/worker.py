"""Run a Prefect worker that lets its syncs end before it ends itself: python -m flows.worker.

Told to end, a worker of Prefect 3.9.1 kills its runs at once (PrefectHQ/prefect#22528): the log row
stays open, the lease is held, and the run stays `Running` until `acsync: run is lost` finds it.
Here a signal goes to the runs first, which close their row, give the lease back and report to
Prefect, and then to the worker. Every step has a time limit, after which a kill follows.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import psutil

from acsync.logs import JSON_LOGS
from acsync.proxies import bypass_for_loopback
from acsync.settings import read_log_format

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not so under nohup
    SIGNALS.append(signal.SIGHUP)

# A run that is told to end needs about three seconds. A frozen one (SIGSTOP) obeys nothing but a
# kill, and orchestrators kill everything after 30 s: Kubernetes by default.
END_SECONDS = 20.0

# The worker gets this long to report a run that ended before it could report to Prefect itself.
REPORT_SECONDS = 1.0
WORKER_SECONDS = 5.0


class _ToldToEnd(SystemExit):
    """A signal came; after the worker has ended, it ends this process quietly."""


def run_worker(words: Sequence[str]) -> int:
    """Run `prefect worker start` with these words until it ends or is ended; return its status."""
    # A shell that starts us in the background of a script ignores SIGINT, for our children too,
    # and Prefect's worker (3.9.1) ends on nothing else. What is handled here is not ignored there.
    for number in SIGNALS:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    bypass_for_loopback()
    if read_log_format() == "json":
        os.environ.update(JSON_LOGS)
    # In a group of its own, so that Ctrl-C in a terminal does not reach it first.
    command = [sys.executable, "-m", "prefect", "worker", "start", *words]
    worker = subprocess.Popen(command, process_group=0)  # noqa: S603  # the words of who started us
    try:
        for number in SIGNALS:
            signal.signal(number, _tell_to_end)
        status = worker.wait()
    except _ToldToEnd:
        status = end_worker(worker)
    # Told to end while it started, a worker of Prefect 3.9.1 has no handler yet, and dies of it.
    return 0 if status == -signal.SIGTERM else status


def _tell_to_end(*_: object) -> NoReturn:
    """Ask once: later signals change nothing, since every step has a time limit."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise _ToldToEnd


def end_worker(worker: "subprocess.Popen[bytes]") -> int:
    """End the runs of a worker, also those that it still starts, then the worker.

    What does not end in time is killed. The next sync closes the log row of a run that was killed.
    """
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until and (runs := _runs_of(worker.pid)):
        _end(runs, max(0.0, until - time.monotonic()))
        time.sleep(REPORT_SECONDS)
    family = _family_of(worker.pid)
    worker.terminate()
    try:
        return worker.wait(WORKER_SECONDS)
    except subprocess.TimeoutExpired:
        _kill(family)
        worker.wait()
        return 128 + signal.SIGKILL


def _runs_of(pid: int) -> list[psutil.Process]:
    """Return the runs of a worker; a frozen one does not bury those that ended."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children()
        return [run for run in children if run.status() != psutil.STATUS_ZOMBIE]
    return []


def _end(runs: Sequence[psutil.Process], seconds: float) -> None:
    """Ask runs to end; kill those that have not ended in time, with all that they started."""
    for run in runs:
        with suppress(psutil.NoSuchProcess):
            run.terminate()
    _, alive = psutil.wait_procs(runs, timeout=seconds)
    for run in alive:
        _kill(_family_of(run.pid))


def _family_of(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1:]))
