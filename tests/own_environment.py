"""Give a measurement a folder, a Postgres and a Prefect server of its own, whatever is set here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from acsync.store.embedded import stop_embedded
from tests.prefect_server import QUIET, prefect_server

OVERRIDDEN = ("POSTGRES_URL", "DATABASE_URL", "ACSYNC_SCHEMA", "LIMIT_PER_PAGE")


@contextmanager
def own_environment(account_url: str, api_key: str, calls_per_second: float) -> Iterator[None]:
    """Set this process's environment, and that of what it starts, until the block ends."""
    with TemporaryDirectory(prefix="acsync-") as folder:
        os.environ.update(
            AC_API_URL=account_url,
            AC_API_KEY=api_key,
            AC_RATE_LIMIT=f"{calls_per_second:g}",
            ACSYNC_DATA_DIR=folder,
            PREFECT_HOME=f"{folder}/prefect",
            PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL",
            **QUIET,
        )
        for name in OVERRIDDEN:
            os.environ.pop(name, None)
        try:
            with prefect_server(Path(folder) / "prefect") as os.environ["PREFECT_API_URL"]:
                yield
        finally:
            stop_embedded(Path(folder))
