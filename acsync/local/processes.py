"""Run child processes that Ctrl-C does not reach, so that they can be stopped in turn."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil

from acsync.errors import AcsyncError, SettingsError, SettingsProblem
from acsync.local.embedded_postgres import make_private
from acsync.process import end_with_parent

ACSYNC = (sys.executable, "-m", "acsync")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The worker was started last and gets more time, so that its sync can close its log row.
FIRST_SECONDS = 10.0
NEXT_SECONDS = 3.0


@dataclass(frozen=True)
class Program:
    """A command to run, with extra environment variables. `title` names its log file."""

    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def make_folder(folder: Path) -> None:
    """Make a private folder; raises SettingsError if the data directory does not allow it."""
    try:
        make_private(folder)
    except OSError as error:
        message = f"cannot be used: creating {folder} failed ({error.strerror})."
        raise SettingsError([SettingsProblem("ACSYNC_DATA_DIR", message)]) from None


class Processes:
    """Running programs that share an `environment` and write their logs to `log_dir`."""

    def __init__(self, log_dir: Path, environment: Mapping[str, str]) -> None:
        make_folder(log_dir)
        self._log_dir = log_dir
        self._environment = environment
        self._running: dict[str, psutil.Popen] = {}

    def start(self, program: Program) -> None:
        """Start a program in a new session, with an empty log."""
        with self._log(program.title).open("wb") as log:
            self._running[program.title] = psutil.Popen(
                program.command,
                env={**self._environment, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def require_alive(self) -> None:
        """Raise AcsyncError, naming its log, if a program has exited."""
        for title, process in self._running.items():
            if (status := process.poll()) is not None:
                raise AcsyncError(
                    f"The {title} exited with status {status}, so everything was stopped.",
                    f"See the end of {self._log(title)}, then run again: acsync up",
                )

    def end(self) -> None:
        """Stop the programs in reverse order; kill those that do not stop in time."""
        patience = FIRST_SECONDS
        for process in reversed(self._running.values()):
            family = _family_of([process])
            with suppress(psutil.NoSuchProcess):
                process.terminate()
            psutil.wait_procs([process], timeout=patience)
            _kill(family)
            patience = NEXT_SECONDS

    def end_on_signals(self) -> None:
        """Let the first signal raise KeyboardInterrupt, and the next one kill everything."""

        def interrupt(*_: object) -> NoReturn:
            self.kill_on_signals()
            raise KeyboardInterrupt

        _handle_signals(interrupt)

    def kill_on_signals(self) -> None:
        """Let a signal kill everything at once, and this process with it."""

        def kill_all(*_: object) -> NoReturn:
            _kill(_family_of(self._running.values()))
            os._exit(1)

        _handle_signals(kill_all)

    def _log(self, title: str) -> Path:
        return self._log_dir / f"{title.lower().replace(' ', '-')}.log"


def _handle_signals(handler: Callable[..., NoReturn]) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


def _family_of(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return the processes and all their descendants."""
    family = []
    for process in processes:
        family.append(process)
        with suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
    return family


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=NEXT_SECONDS)
