"""Run a Prefect worker that lets its syncs end before it ends itself: python -m flows.worker.

Told to end, a worker of Prefect 3.9.1 kills its runs at once (PrefectHQ/prefect#22528): the log row
stays open, the lease is held, and the run stays `Running` until `acsync: run is lost` finds it.
Here a signal goes to the runs first, which close their row, give the lease back and report to
Prefect, and then to the worker.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from acsync.settings import read_log_format

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not so under nohup
    SIGNALS.append(signal.SIGHUP)

# Lets Prefect write its log lines as JSON, in what is started here too.
JSON_LOGS = {"PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json"}

# What the worker gets to tell the API of a run that ended before it could tell itself.
REPORT_SECONDS = 1.0


def run_worker(words: Sequence[str]) -> int:
    """Run `prefect worker start` with these words until it ends or is ended; return its status."""
    # A shell that starts us in the background of a script ignores SIGINT, for our children too,
    # and Prefect's worker (3.9.1) ends on nothing else. What is handled here is not ignored there.
    for number in SIGNALS:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if read_log_format() == "json":
        os.environ.update(JSON_LOGS)
    # In a group of its own, so that Ctrl-C in a terminal does not reach it first.
    command = [sys.executable, "-m", "prefect", "worker", "start", *words]
    worker = subprocess.Popen(command, process_group=0)  # noqa: S603  # the words of who started us
    for number in SIGNALS:
        signal.signal(number, lambda *_: end_worker(worker.pid))
    status = worker.wait()
    # Told to end while it started, a worker of Prefect 3.9.1 has no handler yet, and dies of it.
    return 0 if status == -signal.SIGTERM else status


def end_worker(pid: int) -> None:
    """End the runs of a worker, also those that it starts meanwhile, and then the worker."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with suppress(psutil.NoSuchProcess):
        worker = psutil.Process(pid)
        while runs := worker.children():
            for run in runs:
                with suppress(psutil.NoSuchProcess):
                    run.terminate()
            psutil.wait_procs(runs)
            time.sleep(REPORT_SECONDS)
        worker.terminate()


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1:]))
