"""Start and kill child processes, and set up this one: its memory, its signals, its end."""

import ctypes
import gc
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

# Without `-P`, a file in the current folder could replace a module, such as `attrs.py`.
PYTHON = (sys.executable, "-P")

PR_SET_PDEATHSIG = 1  # of prctl(2)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

# Each time glibc frees a large block, it raises its threshold for large blocks. It then kept half a
# megabyte per page in fragmented pools: 200 MB after 1,600 pages. With these limits of malloc.h
# (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX) the process hardly grows.
ALLOCATOR_LIMITS = {-1: 128 * 1024, -3: 64 * 1024, -8: 2}

# New objects before the garbage collector runs; a page has about 5,000.
GARBAGE_OBJECTS = 100_000


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Ask Linux to signal this child when the thread that started it ends; a `preexec_fn`.

    If a multi-threaded parent is killed, the signal may arrive once per thread. On other systems
    the child survives its parent.
    """
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)  # nohup ignores it
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, number)


def family_of(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants, or nothing if it is gone."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill those that are still running."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def spare_memory() -> None:
    """Make the allocator return the memory of each page, and collect garbage less often.

    Both settings last as long as the process. C libraries without mallopt do not need it.
    """
    # Pages are freed without the collector, which took a fifth of a sync to visit all modules.
    gc.set_threshold(GARBAGE_OBJECTS)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, limit in ALLOCATOR_LIMITS.items():
        mallopt(option, limit)


@contextmanager
def ignore_signals() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM, so that a second one does not interrupt the cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            # None means that the handler was not set from Python.
            signal.signal(number, handler or signal.SIG_DFL)
