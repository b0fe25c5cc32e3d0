"""Run programs as children that Ctrl-C does not reach, so that they can be ended in turn."""

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
# The one that was started last gets more time: the worker, whose sync closes its log row.
FIRST_SECONDS = 10.0
NEXT_SECONDS = 3.0


@dataclass(frozen=True)
class Program:
    """A command and what its environment has beside ours; its log is named after the title."""

    title: str
    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def make_folder(folder: Path) -> None:
    """Make a private folder; raises SettingsError where the data directory does not work."""
    try:
        make_private(folder)
    except OSError as error:
        message = f"does not work: {folder} cannot be made ({error.strerror})."
        raise SettingsError([SettingsProblem("ACSYNC_DATA_DIR", message)]) from None


class Processes:
    """The programs that run, with this `environment`, and their logs in `log_dir`."""

    def __init__(self, log_dir: Path, environment: Mapping[str, str]) -> None:
        make_folder(log_dir)
        self._log_dir = log_dir
        self._environment = environment
        self._running: dict[str, psutil.Popen] = {}

    def start(self, program: Program) -> None:
        """Start a program in a session of its own; its log begins anew."""
        with self._log(program.title).open("wb") as log:
            self._running[program.title] = psutil.Popen(
                program.words,
                env={**self._environment, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def require_alive(self) -> None:
        """Raise AcsyncError, naming its log, where a program has ended by itself."""
        for title, process in self._running.items():
            if (status := process.poll()) is not None:
                raise AcsyncError(
                    f"The {title} ended by itself, with status {status}, so everything was ended.",
                    f"The reason is at the end of {self._log(title)}; then run again: acsync up",
                )

    def end(self) -> None:
        """End the programs, the last started first; kill what does not end in time."""
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
    """Return these processes and everything that they started."""
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
