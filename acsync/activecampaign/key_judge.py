"""Decide once for all threads whether an account refuses the key.

A 403 can also mean a missing right, or nothing at all (singer-io/tap-activecampaign#52). So the
key is only blamed if no call was answered with success and one was refused on every attempt.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from acsync.errors import AccessDenied


class KeyJudge:
    """Collects what the calls of one client show about its key; safe to share between threads."""

    def __init__(self) -> None:
        self.is_accepted = False
        self._turn = threading.RLock()
        self._refusal: AccessDenied | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one thread at a time repeat its refused call, until the key was accepted.

        Raises AccessDenied if the key was refused in the turn of another thread.
        """
        if self.is_accepted:
            yield
            return
        with self._turn:
            if self._refusal and not self.is_accepted:
                raise AccessDenied(self._refusal.message, self._refusal.remedy)
            yield

    def refuse(self, refusal: AccessDenied) -> None:
        """Note a call that was refused on every attempt."""
        self._refusal = self._refusal or refusal
