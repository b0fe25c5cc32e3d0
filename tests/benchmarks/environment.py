"""Provide a measurement with its own environment, folder and Postgres."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from acsync.local.embedded_postgres import stop_embedded
from acsync.local.environment import simulated_environment
from tests.support.prefect_server import QUIET


@contextmanager
def own_environment(account_url: str, api_key: str, calls_per_second: float) -> Iterator[Path]:
    """Set the environment of this process and its children until the block ends.

    Yields Prefect's home, in which the caller starts a server.
    """
    with TemporaryDirectory(prefix="acsync-") as folder:
        own = simulated_environment(account_url, api_key, calls_per_second, Path(folder))
        os.environ.clear()
        os.environ.update(
            own,
            PREFECT_HOME=f"{folder}/prefect",
            PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL",
            **QUIET,
        )
        try:
            yield Path(folder) / "prefect"
        finally:
            stop_embedded(Path(folder))
