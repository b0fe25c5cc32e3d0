"""End child processes with their parent, by a feature of Linux."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Ask Linux to signal this child when the thread that started it ends; a `preexec_fn`.

    If a multi-threaded parent is killed, the signal may arrive once per thread. On other systems
    the child survives its parent.
    """
    signal.signal(number, signal.SIG_DFL)  # nohup ignores it
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, number)
