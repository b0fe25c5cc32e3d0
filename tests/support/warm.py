"""Start `acsync` commands in milliseconds, each forked from one process that imported everything.

A new process spends up to three seconds of CPU on imports. The child sets its environment, and
runs the command's own `main`. Tests of how a command starts use `commands.start` instead.
"""

import atexit
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from select import select
from threading import Thread
from typing import Any

MODULES = (
    "acsync.cli", "acsync.cli.check", "acsync.cli.demo", "acsync.cli.export", "acsync.cli.migrate",
    "acsync.cli.serve", "acsync.cli.status", "acsync.cli.sync", "acsync.enrich.enricher",
    "acsync.simulator.server", "acsync.web.app", "flows.preflight", "flows.sync_activecampaign",
    "prefect.main", "prefect.runner",
)  # fmt: skip
ROOT = Path(__file__).parents[2]


class Command:
    """A running command, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self.args = ["acsync", *arguments]
        self.returncode: int | None = None
        self._output: tuple[str, str] | None = None
        pipes = [os.pipe() for _ in range(3)]
        request = {"argv": self.args, "environment": environment, "cwd": str(Path.cwd())}
        control = _forker()
        socket.send_fds(control, [json.dumps(request).encode()], [pipe[1] for pipe in pipes])
        self.pid = int(control.recv(100))
        for _, child_end in pipes:
            os.close(child_end)
        self.stdout, self.stderr = (os.fdopen(pipe[0]) for pipe in pipes[:2])
        self._status = pipes[2][0]

    def poll(self, seconds: float = 0) -> int | None:
        """Return the exit status, or None if the command still runs after some seconds."""
        if self.returncode is None and select([self._status], [], [], seconds)[0]:
            self.returncode = int(os.read(self._status, 10))
            os.close(self._status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit status; raises subprocess.TimeoutExpired."""
        if (status := self.poll(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end and return both outputs; raises subprocess.TimeoutExpired."""
        if self._output:
            return self._output
        output = ["", ""]

        def read(place: int) -> None:
            with (self.stdout, self.stderr)[place] as stream:
                output[place] = stream.read()

        readers = [Thread(target=read, args=(place,), daemon=True) for place in range(2)]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        self._output = output[0], output[1]
        return self._output

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the command to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the command at once."""
        self.send_signal(signal.SIGKILL)


@cache
def _forker() -> socket.socket:
    """Start the process that forks; it ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())]
    # Its console would keep the width.
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, cwd=ROOT)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def fork_for_requests(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork a child per request, and report how each ends.

    Returns the request and its pipes in each child, and None in the parent, after the last one.
    """
    running: dict[int, int] = {}

    def reap(*_: object) -> None:
        for pid in [*running]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                pipe = running.pop(pid)
                os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(pipe)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, reap)
    while True:
        message, pipes, *_ = socket.recv_fds(control, 1 << 20, 3)
        if not message:
            return None
        if (pid := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for pipe in (*running.values(), pipes.pop(), control.detach()):
                os.close(pipe)
            return json.loads(message), pipes
        running[pid] = pipes.pop()
        for pipe in pipes:
            os.close(pipe)
        control.send(str(pid).encode())
        reap()


def run(argv: list[str], environment: dict[str, str], cwd: str) -> None:
    """Run a command as a new process would, with Prefect's settings of this environment."""
    from prefect.context import refresh_global_settings_context  # noqa: PLC0415
    from prefect.logging.configuration import setup_logging  # noqa: PLC0415

    from acsync.cli.app import PATIENT_PREFECT, QUIET_PREFECT, main  # noqa: PLC0415

    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(QUIET_PREFECT | PATIENT_PREFECT | environment)
    sys.argv = argv
    refresh_global_settings_context()
    # SQLAlchemy sets its own logger to WARNING, whatever the setting of Prefect.
    for name in filter(None, environment.get("PREFECT_LOGGING_EXTRA_LOGGERS", "").split(",")):
        logging.getLogger(name).setLevel(logging.NOTSET)
    setup_logging(incremental=False)
    main()


if __name__ == "__main__":
    for module in MODULES:
        import_module(module)
    gc.freeze()  # a collection would copy the shared memory
    if asked := fork_for_requests(socket.socket(fileno=int(sys.argv[1]))):
        request, outputs = asked
        for number, pipe in enumerate(outputs, 1):
            os.dup2(pipe, number)
            os.close(pipe)
        run(**request)
