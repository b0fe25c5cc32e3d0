"""Run programs as children that a Ctrl-C does not reach, so that they can be ended in turn."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil

from acsync.cli.programs import Program
from acsync.errors import AcsyncError, SettingsError, SettingsProblem
from acsync.guard import end_in_turn, find_family, kill

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Children:
    """What runs, and where its output goes; a guard ends it where this process is killed."""

    def __init__(self, log_dir: Path) -> None:
        try:
            log_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                [
                    SettingsProblem(
                        "ACSYNC_DATA_DIR",
                        f"does not work: {log_dir} cannot be made ({error.strerror}).",
                    )
                ]
            ) from None
        self._log_dir = log_dir
        self._running: dict[str, psutil.Popen] = {}
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "acsync.guard"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
            bufsize=1,
        )

    def start(self, program: Program) -> None:
        """Start one in a session of its own; its log begins anew."""
        with self._log(program.title).open("wb") as log:
            child = psutil.Popen(
                program.words,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[program.title] = child
        print(child.pid, file=self._guard.stdin)

    def require_alive(self) -> None:
        """Raise AcsyncError, naming its log, where one has ended by itself."""
        for title, child in self._running.items():
            if (status := child.poll()) is not None:
                raise AcsyncError(
                    f"The {title} ended by itself, with status {status}, so everything was ended. "
                    f"The reason is at the end of {self._log(title)}; then run again: acsync up"
                )

    def end(self) -> None:
        """End them, the last started first; each may take its time."""
        end_in_turn(list(self._running.values()))
        self._guard.communicate()

    def end_on_signals(self) -> None:
        """Let the first signal raise KeyboardInterrupt; the next one kills all."""

        def interrupt(*_: object) -> NoReturn:
            self.kill_on_signals()
            raise KeyboardInterrupt

        _handle(interrupt)

    def kill_on_signals(self) -> None:
        """Let a signal kill all at once, and this process with them."""

        def end_now(*_: object) -> NoReturn:
            kill(find_family(self._running.values()))
            os._exit(1)

        _handle(end_now)

    def _log(self, title: str) -> Path:
        return self._log_dir / f"{title.lower().replace(' ', '-')}.log"


def _handle(handler: Callable[..., NoReturn]) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)
