"""Run one sync that freezes at a named moment, as a paused machine does: MOMENT is an argument."""

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from acsync.activecampaign.client import Client
from acsync.settings import read_settings
from acsync.store import lease, staging
from acsync.sync import context, plan, publish
from tests.support.syncs import run_sync


def freeze() -> None:
    """Stop this process until SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


class FrozenFile(io.BytesIO):
    """Rows of a COPY that stop after the first of them were sent."""

    frozen = False

    def read(self, size: int | None = -1) -> bytes:
        """Return a few bytes, and freeze before more of them."""
        if self.tell() and not FrozenFile.frozen:
            FrozenFile.frozen = True
            freeze()
        return super().read(min(size, 8192) if size and size > 0 else 8192)


def around(
    owner: Any, name: str, when: Callable[..., bool] = lambda *_: True, *, after: bool
) -> None:
    """Freeze once, before or after the first call that `when` accepts."""
    real, done = getattr(owner, name), False

    def wrapped(*words: Any, **named: Any) -> Any:
        nonlocal done
        strikes, done = not done and when(*words), done or when(*words)
        if strikes and not after:
            freeze()
        result = real(*words, **named)
        if strikes and after:
            freeze()
        return result

    setattr(owner, name, wrapped)


def says(words: str) -> Callable[..., bool]:
    """Accept the statements that contain this text."""
    return lambda _connection, sql, *_: words in sql


MOMENTS: dict[str, Callable[[], None]] = {
    "before the first call": lambda: around(Client, "get_page", after=False),
    "as the plan is kept": lambda: around(plan, "keep_plan", after=True),
    "between two pages": lambda: around(
        Client, "get_page", lambda _client, _path, params, *_: "id_greater" in params, after=True
    ),
    "with the lease checked": lambda: around(staging, "require_lease", after=True),
    "while rows are sent": lambda: setattr(io, "BytesIO", FrozenFile),
    "before a slice is committed": lambda: around(
        staging, "run", says("insert into {schema}.ac_staged_slices"), after=True
    ),
    "in the heartbeat": lambda: around(lease, "run", says("set renewed_at"), after=True),
    "as publishing begins": lambda: around(publish, "require_lease", after=True),
    "before publishing commits": lambda: around(publish, "finish_log", after=True),
    "before staging is swept": lambda: around(publish, "sweep_staging", after=False),
}

if __name__ == "__main__":
    context.keep_lease.__wrapped__.__defaults__ = (lambda: None, 1.0)  # type: ignore[attr-defined]
    MOMENTS[sys.argv[1]]()
    run_sync(read_settings())
