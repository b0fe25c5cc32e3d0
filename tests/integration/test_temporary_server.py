"""Without PREFECT_API_URL a command starts a Prefect server, which ends with the command."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsync.simulator.account_options import AccountOptions
from tests.support.commands import acsync, start, wait, wait_for
from tests.support.prefect_server import temporary_servers

NOTE = "Starting a temporary Prefect server; set PREFECT_API_URL to use your own.\n"


@pytest.fixture
def options() -> AccountOptions:
    """Use a small account: these tests are about processes."""
    return AccountOptions(contacts=8, deals=8, rate_limit=None)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return an empty home of Prefect, from which no server may run in the end."""
    yield tmp_path / "prefect"
    wait_for("its end", lambda: not temporary_servers("PREFECT_HOME", tmp_path / "prefect"), 30)


@pytest.mark.usefixtures("served_account")
def test_a_sync_starts_a_server_and_says_so(home: Path) -> None:
    """On a busy machine the start takes a minute, in which the screen used to be empty."""
    done = acsync("sync", PREFECT_HOME=str(home))

    assert (done.returncode, done.stderr) == (0, NOTE)
    assert "contacts: 8 records" in done.stdout


@pytest.mark.usefixtures("served_account")
def test_files_in_the_current_folder_replace_no_module(home: Path, tmp_path: Path) -> None:
    """Here is one with the name of a package that Prefect's server imports."""
    (tmp_path / "attrs.py").touch()

    done = subprocess.run(
        [Path(sys.executable).with_name("acsync"), "sync"],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, NOTE)


ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]


@pytest.mark.usefixtures("served_account")
@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_the_server_ends_with_its_command(home: Path, number: signal.Signals) -> None:
    """It used to stay and to hold the pipe, so that a caller waited for its end."""
    command = start("sync", PREFECT_HOME=str(home))
    wait_for("a server", lambda: temporary_servers("PREFECT_HOME", home))

    command.send_signal(number)
    done = wait(command)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("served_account")
def test_a_server_that_cannot_start_is_one_paragraph(home: Path) -> None:
    """The paragraph names the server's last words and what to set."""
    home.write_text("a file, no folder")

    done = acsync("sync", PREFECT_HOME=str(home))

    assert done.returncode == 1
    assert done.stderr.startswith(NOTE)
    assert done.stderr.removeprefix(NOTE).count("\n") == 1
    assert "PREFECT_HOME" in done.stderr


def test_no_server_starts_if_there_is_no_block(home: Path) -> None:
    """A home without a database has no blocks; a server took half a minute to say so."""
    done = acsync("status", "--account", "nobody", PREFECT_HOME=str(home))

    assert done.returncode == 2
    assert "block activecampaign-account/nobody does not exist" in done.stderr
    assert NOTE not in done.stderr
