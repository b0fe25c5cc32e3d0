"""If Prefect's API refuses or is away, each command says so in one paragraph."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.support.commands import start, wait
from tests.support.prefect_server import free_port, prefect_server

# One function explains every error, so the first commands are enough after one round of all.
FIRST = [["deploy"], ["sync"], ["check"]]
COMMANDS = [
    *FIRST,
    ["check", "--account", "acme"],
    ["status", "--account", "acme"],
    ["export", "contacts", "--account", "acme"],
    ["migrate", "--account", "acme"],
    ["serve", "--account", "acme"],
]
PASSWORD = "acsync:pa55word"
REFUSED = "does not accept the password (status 401)."


@pytest.fixture(scope="module")
def locked_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Prefect server with a password, and yield the URL of its API."""
    home = tmp_path_factory.mktemp("locked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_SERVER_API_AUTH_STRING", PASSWORD)
        with prefect_server(home) as url:
            yield url


def start_worker(**environment: str) -> "subprocess.Popen[str]":
    """Start a worker as `start` starts a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.worker", "--pool", "acsync"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_each_says(
    expected: str, commands: Sequence[Sequence[str]] = FIRST, **environment: str
) -> None:
    """Run the commands, three at a time; each fails with this paragraph only."""
    for first in range(0, len(commands), 3):
        batch = commands[first : first + 3]
        processes = [start(*command, COLUMNS="500", **environment) for command in batch]
        for done in map(wait, processes):
            shown = done.stdout + done.stderr
            assert done.returncode in (1, 2), shown
            assert "Traceback" not in shown
            assert PASSWORD not in shown
            if done.args[1:] == ["check"]:
                assert "Prefect API" in done.stderr
                assert expected in " ".join(done.stdout.replace("│", " ").split())
            else:
                assert expected in done.stderr
                assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("served_account")
def test_a_missing_password_is_one_paragraph(locked_api: str) -> None:
    """It used to be a traceback of 40 to 90 lines."""
    assert_each_says(REFUSED, COMMANDS, PREFECT_API_URL=locked_api, PREFECT_API_AUTH_STRING="")


@pytest.mark.usefixtures("served_account")
def test_a_wrong_password_is_one_paragraph(locked_api: str) -> None:
    """The password itself is not shown."""
    assert_each_says(REFUSED, PREFECT_API_URL=locked_api, PREFECT_API_AUTH_STRING="acsync:wrong")


def test_a_worker_that_is_refused_says_so(locked_api: str) -> None:
    """Prefect's worker ended with a traceback."""
    done = wait(start_worker(PREFECT_API_URL=locked_api, PREFECT_API_AUTH_STRING=""))

    assert (done.returncode, done.stdout) == (1, "")
    assert REFUSED in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("served_account")
def test_an_address_without_api_is_one_paragraph(locked_api: str) -> None:
    """`prefect server start` prints the address of the UI too."""
    assert_each_says(
        "Check PREFECT_API_URL: the URL of a server ends with /api.",
        PREFECT_API_URL=locked_api.removesuffix("/api"),
        PREFECT_API_AUTH_STRING=PASSWORD,
    )


@pytest.mark.usefixtures("served_account")
def test_a_server_that_is_down_is_one_paragraph() -> None:
    """The paragraph names the URL, which may be wrong too."""
    url = f"http://127.0.0.1:{free_port()}/api"

    assert_each_says(f"Prefect's API at {url} does not answer", PREFECT_API_URL=url)


def test_a_worker_needs_an_api_of_its_own() -> None:
    """A temporary server would end with the worker, and nobody could deploy to it."""
    done = wait(start_worker(PREFECT_API_URL=""))

    assert done.returncode == 2
    assert done.stderr.startswith("acsync cannot start: PREFECT_API_URL is not set")
    assert done.stderr.count("\n") == 1
