"""Run a Prefect worker that stops its syncs before itself: acsync worker.

A worker of Prefect 3.9.1 kills its runs as soon as it gets a signal (PrefectHQ/prefect#22528). The
log row then stays open, the lease stays taken, and the run stays `Running` until the automation
`acsync: run is lost` marks it. This wrapper passes the signal to the runs first: they close their
row, release the lease and report to Prefect. Then the worker is stopped. Processes that do not end
in time are killed.
"""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

import psutil

from acsync import logs
from acsync.env_file import load_env_file, unknown_variables
from acsync.errors import SettingsError
from acsync.process import PYTHON, family_of, kill
from acsync.proxies import bypass_for_loopback
from acsync.settings import read_log_format

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not so under nohup
    SIGNALS.append(signal.SIGHUP)

# A run takes about three seconds to end after a signal; a frozen one (SIGSTOP) must be killed.
# Kubernetes, by default, kills everything after 30 s.
END_SECONDS = 20.0

# Time for the worker to report runs that ended before they could report to Prefect.
REPORT_SECONDS = 1.0
WORKER_SECONDS = 5.0

logger = logging.getLogger(__name__)


class _Stop(SystemExit):
    """A signal came; this exception ends the process without a traceback."""


def run_worker(arguments: Sequence[str]) -> int:
    """Run `prefect worker start` with these arguments until it ends; return its exit status.

    Raises SettingsError.
    """
    read_log_format()
    # Prefect's worker (3.9.1) only ends on SIGINT, which is ignored in background jobs of a shell
    # script and in their children. Children do not inherit signals that have a handler as ignored.
    for number in SIGNALS:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    bypass_for_loopback()
    for sentence in unknown_variables():
        logs.warn(sentence)
    # Prefect's worker ends with a traceback without an API. The check is a process of its own,
    # because Prefect takes 100 MB.
    api_check = [*PYTHON, "-m", "flows.prefect_api"]
    asks_for_help = {"--help", "-h"} & {*arguments}
    if not asks_for_help and (status := subprocess.run(api_check, check=False).returncode):  # noqa: S603
        return status
    # A separate process group, so that Ctrl-C in a terminal does not reach the worker first.
    command = [*PYTHON, "-m", "prefect", "worker", "start", *arguments]
    with _start(command) as worker:
        try:
            for number in SIGNALS:
                signal.signal(number, _stop)
            status = worker.wait()
        except _Stop:
            status = end_worker(worker)
    # A worker that is still starting has no signal handler yet, and is terminated by the signal.
    return 0 if status == -signal.SIGTERM else status


@contextmanager
def _start(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the worker. If logs are JSON, turn its other lines into JSON until it ends."""
    stdout, stderr = (subprocess.PIPE, subprocess.STDOUT) if logs.is_json() else (None, None)
    worker = subprocess.Popen(command, process_group=0, stdout=stdout, stderr=stderr)  # noqa: S603
    forwarder = threading.Thread(target=_forward, args=(worker.stdout or (),), daemon=True)
    forwarder.start()
    yield worker
    forwarder.join(REPORT_SECONDS)


def _forward(lines: Iterable[bytes]) -> None:
    """Write the log lines of a worker, and what Prefect prints, as JSON."""
    logger.setLevel(logging.INFO)
    for line in lines:
        text = line.decode(errors="replace").rstrip()
        if text.startswith("{"):
            sys.stderr.write(f"{text}\n")
        elif text:
            logger.info("%s", text)


def _stop(*_: object) -> NoReturn:
    """Stop once and ignore later signals; every step has a time limit."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise _Stop


def end_worker(worker: "subprocess.Popen[bytes]") -> int:
    """Stop the runs of a worker, including those that it still starts, then the worker.

    Processes that do not end in time are killed. The next sync closes the log row of a killed run.
    """
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until and (runs := _runs_of(worker.pid)):
        _end(runs, max(0.0, until - time.monotonic()))
        time.sleep(REPORT_SECONDS)
    family = family_of(worker.pid)
    worker.terminate()
    try:
        return worker.wait(WORKER_SECONDS)
    except subprocess.TimeoutExpired:
        kill(family)
        worker.wait()
        return 128 + signal.SIGKILL


def _runs_of(pid: int) -> list[psutil.Process]:
    """Return the runs of a worker without zombies, which a frozen worker does not reap."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children()
        return [run for run in children if run.status() != psutil.STATUS_ZOMBIE]
    return []


def _end(runs: Sequence[psutil.Process], seconds: float) -> None:
    """Terminate runs; kill those that do not end in time, with their children."""
    for run in runs:
        with suppress(psutil.NoSuchProcess):
            run.terminate()
    _, alive = psutil.wait_procs(runs, timeout=seconds)
    for run in alive:
        kill(family_of(run.pid))


def main() -> int:
    """Run the worker with this process's arguments, outside of `acsync worker`."""
    try:
        load_env_file()
        logs.set_up_command()
        return run_worker(sys.argv[1:])
    except SettingsError as error:
        logs.report(error)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
