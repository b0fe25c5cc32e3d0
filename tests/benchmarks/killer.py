"""Kill the runs of a worker at random moments, and find their processes."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil

from acsync.store.database import Database
from acsync.store.sync_status import read_status
from tests.benchmarks.full_sync import say

# The longest life of a run that is killed, in seconds. Every fourth kill waits for a full sync.
LIFE_SECONDS = {"incremental": 10.0, "full": 25.0}
FULL_EVERY = 4
EARLY_SECONDS = 10


@dataclass
class Killer:
    """Kills a run of the worker at a random moment, every few minutes."""

    up: psutil.Process
    database: Database
    every_seconds: float
    random: Random = field(default_factory=lambda: Random(1))
    killed_at: list[float] = field(default_factory=list)
    _due: float = 0.0
    _is_chosen: bool = False
    _known: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._wait()

    def _wait(self) -> None:
        pause = self.every_seconds * self.random.uniform(0.6, 1.4)
        self._is_chosen, self._due = False, time.time() + pause

    def look(self) -> None:
        """Wait until a run starts once a kill is due, and kill it at some moment of its life."""
        if time.time() < self._due:
            return
        wants_full = len(self.killed_at) % FULL_EVERY == FULL_EVERY - 1
        if not self._is_chosen:
            started = {run.pid for run in runs_of(self.up)} - self._known
            self._known |= started
            if started and (not wants_full or is_full_due()):
                longest = LIFE_SECONDS["full" if wants_full else "incremental"]
                self._is_chosen, self._due = True, time.time() + self.random.uniform(0, longest)
            return
        self._kill()
        self._wait()

    def _kill(self) -> None:
        """Kill every run of the worker."""
        running = read_status(self.database).running
        for each in runs_of(self.up):
            with suppress(psutil.NoSuchProcess):
                each.kill()
                self.killed_at.append(time.time())
                say(f"killed a run; the sync at that time: {running and running.sync_id}")


def is_full_due() -> bool:
    """Return whether a full sync starts in this minute; the worker is a little early."""
    minutes = int(os.environ["ACSYNC_INTERVAL"].removesuffix("m"))
    return int((time.time() + EARLY_SECONDS) / 60) % minutes == 0


def runs_of(up: psutil.Process) -> list[psutil.Process]:
    """Return the processes of the syncs that the worker runs now."""
    with suppress(psutil.NoSuchProcess):
        return [each for each in up.children(recursive=True) if "prefect.engine" in _words(each)]
    return []


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
