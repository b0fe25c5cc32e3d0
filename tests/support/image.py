"""Build the image in a folder as the Dockerfile says, and run and stop its commands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
INSTALLED = "/opt/acsync"
"""The virtual environment of the image."""
STOP_SECONDS = 10
"""How long `docker stop` waits before it kills."""


def read_instructions() -> list[tuple[str, str]]:
    """Return each instruction and its arguments, without comments and with joined lines."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    whole = text.replace("\\\n", " ").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in whole) if name]


def command_of(name: str) -> list[str]:
    """Return the command of the last ENTRYPOINT, CMD, or HEALTHCHECK."""
    *_, last = (rest for instruction, rest in read_instructions() if instruction == name)
    command: list[str] = json.loads(last[last.index("[") :])
    return command


def environment_of() -> dict[str, str]:
    """Return the variables of ENV except PATH."""
    sets = [rest for name, rest in _stage(2) if name == "ENV"]
    pairs = (pair.partition("=") for rest in sets for pair in shlex.split(rest))
    return {name: value for name, _, value in pairs if name != "PATH"}


def build(folder: Path) -> Path:
    """Run the steps of the build stage in a folder, without apt-get; return INSTALLED."""
    installed = folder / "installed"
    (folder / "build").mkdir(parents=True)
    for name, rest in _stage(1):
        if name == "COPY":
            _copy(rest.split(), folder / "build")
        elif name == "RUN" and "apt-get" not in rest:
            _run(rest.replace(INSTALLED, str(installed)), folder / "build")
    return installed


def _stage(number: int) -> Iterator[tuple[str, str]]:
    stages = 0
    for name, rest in read_instructions():
        stages += name == "FROM"
        if stages == number:
            yield name, rest


def _copy(paths: list[str], folder: Path) -> None:
    """Copy files that .dockerignore allows by name."""
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    *sources, target = paths
    for source in sources:
        assert source in sent, f".dockerignore keeps {source} from the build"
        to = folder / target / Path(source).name if target.endswith("/") else folder / target
        to.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, to)


def _run(command: str, folder: Path) -> None:
    """Run a step with the Python of the tests and the pip cache of this machine."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@dataclass(frozen=True)
class Image:
    """The programs of the image, with its environment and a folder for its data."""

    environment: dict[str, str]
    home: Path

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [*command_of("ENTRYPOINT"), *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def start(self, *arguments: str, **environment: str) -> Iterator[psutil.Popen]:
        """Start a command, and kill all that is left of it at the end."""
        with (self.home / "container.log").open("wb") as log:
            container = psutil.Popen(
                [*command_of("ENTRYPOINT"), *arguments],
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
