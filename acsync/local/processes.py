"""Run child processes that Ctrl-C does not reach, so that they can be stopped in turn."""

import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil

from acsync.errors import AcsyncError, SettingsError, SettingsProblem
from acsync.local.embedded_postgres import make_private
from acsync.process import PYTHON, end_with_parent, family_of, kill

ACSYNC = (*PYTHON, "-m", "acsync")

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


def program(name: str) -> str:
    """Return a program of this environment: its name, or its path if it is not on the PATH."""
    path = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(path) else shlex.quote(str(path))


def make_folder(folder: Path) -> None:
    """Make a private folder; raises SettingsError if the data directory does not allow it."""
    try:
        make_private(folder)
    except OSError as error:
        message = f"cannot be used: creating {folder} failed ({error.strerror})."
        raise SettingsError([SettingsProblem("ACSYNC_DATA_DIR", message)]) from None


class Stopped(BaseException):
    """A signal asks for the end.

    It is no KeyboardInterrupt: after one inside `exec`, Python ends with status -2 even if it was
    caught.
    """


class Processes:
    """Running programs that share an `environment` and write their logs to `log_dir`."""

    def __init__(self, log_dir: Path, environment: Mapping[str, str]) -> None:
        make_folder(log_dir)
        self._log_dir = log_dir
        self._environment = environment
        self._running: dict[str, psutil.Popen] = {}
        self.is_stopped = False

    def stop_on_signals(self) -> None:
        """Raise Stopped on the first signal, and ignore those that follow.

        It is raised wherever the main thread is. A library may turn it into another exception, as
        pydantic does, or drop it. So `is_stopped` decides.
        """
        for number in SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> NoReturn:
        ignore_signals()
        self.is_stopped = True
        raise Stopped

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
        """Raise Stopped after a signal, or AcsyncError, naming its log, if a program has exited."""
        if self.is_stopped:
            raise Stopped
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
            family = family_of(process.pid)
            with suppress(psutil.NoSuchProcess):
                process.terminate()
            psutil.wait_procs([process], timeout=patience)
            kill(family)
            psutil.wait_procs(family, timeout=NEXT_SECONDS)
            patience = NEXT_SECONDS

    def _log(self, title: str) -> Path:
        return self._log_dir / f"{title.lower().replace(' ', '-')}.log"


def ignore_signals() -> None:
    """Let nothing interrupt the end of the programs, which takes seconds at most."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
