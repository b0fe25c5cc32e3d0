"""Run and stop the commands of the image as an engine does."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.dockerfile import command_of

STOP_SECONDS = 10
"""How long `docker stop` waits before it kills."""


@dataclass(frozen=True)
class Image:
    """The programs of the image, with its environment and a folder for its data."""

    environment: dict[str, str]
    home: Path

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [*command_of("ENTRYPOINT"), *words],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def start(self, *words: str, **environment: str) -> Iterator[psutil.Popen]:
        """Start a command, and kill all that is left of it at the end."""
        with (self.home / "container.log").open("wb") as log:
            container = psutil.Popen(
                [*command_of("ENTRYPOINT"), *words],
                env={**self.environment, **environment},
                cwd=self.home,
                stdout=log,
                stderr=log,
            )
            try:
                yield container
            finally:
                if container.is_running():
                    for process in [*container.children(recursive=True), container]:
                        process.kill()
                container.wait()


def stop(container: psutil.Popen) -> list[list[str]]:
    """Send SIGTERM to the first process, as `docker stop` does; return the killed commands."""
    everyone = [container, *container.children(recursive=True)]
    container.terminate()
    _, alive = psutil.wait_procs(everyone, timeout=STOP_SECONDS)
    killed = [process.cmdline() for process in alive]
    for process in alive:
        process.kill()
    return killed
