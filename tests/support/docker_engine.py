"""Run a Docker engine for a drill, with the image that the Dockerfile builds."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.support.commands import ended, require_program, wait_for
from tests.support.dockerfile import ROOT

IMAGE = "acsync:0.2.0"
BASE = "acsync-drill-base"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates"

# A machine may need these to reach its package index.
MACHINE_FILES = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")

NOT_PERMITTED = (
    "No Docker engine starts here. Run it as root on Linux, in a container with --privileged. "
    "Its last words: "
)


@dataclass(frozen=True)
class Engine:
    """A Docker engine with its data and its socket in `folder`."""

    folder: Path

    def run(self, *command: str, seconds: float = 120, check: bool = True) -> str:
        """Run a command against this engine and return its standard output."""
        socket = f"unix://{self.folder / 'docker.sock'}"
        done = subprocess.run(
            command,
            env={**os.environ, "DOCKER_HOST": socket, "DOCKER_BUILDKIT": "0"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def inspect(self, container: str, template: str) -> str:
        """Return a part of what the engine knows about a container."""
        return self.run("docker", "inspect", f"--format={{{{{template}}}}}", container).strip()

    def leftovers(self) -> dict[str, list[str]]:
        """Return the ids of all containers and the names of all volumes."""
        return {
            "containers": self.run("docker", "ps", "--all", "--quiet").split(),
            "volumes": self.run("docker", "volume", "ls", "--quiet").split(),
        }


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """Start Debian's engine without a bridge in a folder that is deleted at the end."""
    if os.geteuid() != 0:
        pytest.skip("It needs root, for a Docker engine.")
    program = require_program("dockerd", "docker.io")
    folder = Path(mkdtemp(prefix="acsync-docker-"))
    engine, log = Engine(folder), folder / "dockerd.log"
    try:
        with log.open("wb") as lines:
            process = subprocess.Popen(
                [
                    str(program),
                    "--iptables=false",
                    "--bridge=none",
                    f"--data-root={folder / 'data'}",
                    f"--exec-root={folder / 'exec'}",
                    f"--pidfile={folder / 'docker.pid'}",
                    f"--host=unix://{folder / 'docker.sock'}",
                ],
                stdout=lines,
                stderr=lines,
            )
        with ended(process, within_seconds=60):
            wait_for("the engine", lambda: process.poll() is not None or _is_ready(engine))
            if process.poll() is not None:
                pytest.skip(NOT_PERMITTED + log.read_text()[-300:])
            yield engine
    finally:
        _delete(folder)


def _is_ready(engine: Engine) -> bool:
    return bool(
        engine.run("docker", "version", "--format={{.Server.Version}}", check=False).strip()
    )


def _delete(folder: Path) -> None:
    """Delete the engine's folder after whatever the engine left mounted in it."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((path for path in mounts if path.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", mount], check=True)  # noqa: S607
    shutil.rmtree(folder)


def build_image(engine: Engine) -> None:
    """Build the project's image on a base of Debian packages, because none can be pulled."""
    tar, extra = engine.folder / "base.tar", []
    for file in filter(os.path.exists, MACHINE_FILES):
        extra.append(f"--customize-hook=copy-in {file} {Path(file).parent}")
    bootstrap = str(require_program("mmdebstrap", "mmdebstrap"))
    options = ("--variant=minbase", f"--include={PACKAGES}", *extra)
    engine.run(bootstrap, *options, SUITE, str(tar), seconds=600)
    engine.run("docker", "import", str(tar), BASE)
    tar.unlink()
    arguments = ("--network=host", f"--build-arg=BASE={BASE}", f"--tag={IMAGE}")
    engine.run("docker", "build", *arguments, ".", seconds=900)
