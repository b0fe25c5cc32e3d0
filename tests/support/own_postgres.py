"""Run a Postgres for one test, which can crash and restart it at any moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from acsync.local.embedded_postgres import pg_ctl, start_embedded, stop_embedded

Mode: TypeAlias = Literal["fast", "immediate"]


class OwnPostgres:
    """An embedded server; `url` names its empty database."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.url = start_embedded(data_dir)

    def restart(self, mode: Mode) -> None:
        """Stop and start it: `fast` as an upgrade does, `immediate` as a crash does."""
        pg_ctl(self._data_dir, "-m", mode, "restart")

    def stop(self) -> None:
        """Stop it; its URL stays the same."""
        stop_embedded(self._data_dir)

    def start(self) -> None:
        """Start it again."""
        start_embedded(self._data_dir)


@contextmanager
def own_postgres(data_dir: Path) -> Iterator[OwnPostgres]:
    """Run a server in this folder until the block ends."""
    server = OwnPostgres(data_dir)
    try:
        yield server
    finally:
        stop_embedded(data_dir)
