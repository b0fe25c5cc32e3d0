"""Read the Dockerfile, so that the tests build and start what users build and start."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLED = "/opt/acsync"
"""The virtual environment of the image."""


def read_instructions() -> list[tuple[str, str]]:
    """Return each instruction and its arguments, without comments and with joined lines."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    whole = text.replace("\\\n", " ").splitlines()
    return [(name, words) for name, _, words in (line.partition(" ") for line in whole) if name]


def command_of(name: str) -> list[str]:
    """Return the command of the last ENTRYPOINT, CMD, or HEALTHCHECK."""
    words = [words for found, words in read_instructions() if found == name][-1]
    command: list[str] = json.loads(words[words.index("[") :])
    return command


def environment_of() -> dict[str, str]:
    """Return the variables of ENV except PATH."""
    sets = [words for name, words in _stage(2) if name == "ENV"]
    pairs = (pair.partition("=") for words in sets for pair in shlex.split(words))
    return {name: value for name, _, value in pairs if name != "PATH"}


def build(folder: Path) -> Path:
    """Run the steps of the build stage in a folder, without apt-get; return INSTALLED."""
    installed = folder / "installed"
    (folder / "build").mkdir(parents=True)
    for name, words in _stage(1):
        if name == "COPY":
            _copy(words.split(), folder / "build")
        elif name == "RUN" and "apt-get" not in words:
            _run(words.replace(INSTALLED, str(installed)), folder / "build")
    return installed


def _stage(number: int) -> Iterator[tuple[str, str]]:
    stages = 0
    for name, words in read_instructions():
        stages += name == "FROM"
        if stages == number:
            yield name, words


def _copy(words: list[str], folder: Path) -> None:
    """Copy files that .dockerignore allows by name."""
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    *sources, target = words
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
