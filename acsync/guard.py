"""End processes in turn, also for one that was killed and cannot: python -m acsync.guard.

Their ids come on standard input, a line each; its end means that who started them is gone.
"""

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psutil

FIRST_SECONDS = 10.0
"""What the last started gets: the worker, whose sync closes its log row."""

NEXT_SECONDS = 3.0


def end_in_turn(processes: Sequence[psutil.Process]) -> None:
    """Ask each to end, the last started first, and kill what it leaves."""
    patience = FIRST_SECONDS
    for process in reversed(processes):
        family = find_family([process])
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        psutil.wait_procs([process], timeout=patience)
        kill(family)
        patience = NEXT_SECONDS


def find_family(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Give these processes and all that they started."""
    family = []
    for process in processes:
        family.append(process)
        with suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
    return family


def kill(processes: Sequence[psutil.Process]) -> None:
    """Kill those that are still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=NEXT_SECONDS)


def main() -> None:
    """Remember each process as it is named, and end them all when nobody is left to name more."""
    processes = []
    for line in sys.stdin:
        with suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(int(line)))
    end_in_turn(processes)


if __name__ == "__main__":
    main()
