"""End child processes with their parent, which only Linux can do by itself."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """Ask Linux to end this child with the thread that started it: a `preexec_fn`.

    Where a parent of many threads is killed, the signal comes once for each of them. Elsewhere
    the child goes on when its parent is killed.
    """
    signal.signal(by, signal.SIG_DFL)  # not ignored, as under nohup
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, by)
