"""`.env` in the current folder sets variables, and misspelt ones are named."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsync.env_file import find_env_file, load_env_file, unknown_variables
from acsync.errors import SettingsError
from acsync.local.environment import simulated_environment


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, whose `.env` is read, and restore the environment."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    os.environ.pop("PYTHON_DOTENV_DISABLED")
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def test_variables_that_are_set_win_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's environment is not changed by a file that is mounted with the code."""
    monkeypatch.setenv("ACSYNC_SCHEMA", "set")
    (folder / ".env").write_text(
        'ACSYNC_SCHEMA=file\nexport CRON_SECRET="a b" # why\nAC_API_KEY=\n'
    )

    load_env_file()

    names = ("ACSYNC_SCHEMA", "CRON_SECRET", "AC_API_KEY")
    assert [os.environ[name] for name in names] == ["set", "a b", ""]
    assert find_env_file() == folder / ".env"


def test_without_a_file_nothing_changes(folder: Path) -> None:
    """A folder of that name is a virtual environment, not our business."""
    before = dict(os.environ)

    load_env_file()
    (folder / ".env").mkdir()
    load_env_file()

    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nAC_API_KEY s3cret\n", "line 2 is not NAME=VALUE"),
        (b'AC_API_KEY="s3cret\n', "line 1 is not NAME=VALUE"),
        (b"AC_API_KEY=s3cret\xff\n", "cannot be read: it is not plain UTF-8 text"),
        (b"AC_API_KEY=s3cret\x00\n", "cannot be read: it is not plain UTF-8 text"),
    ],
)
def test_a_broken_file_is_one_paragraph(folder: Path, content: bytes, message: str) -> None:
    """The paragraph names file and line, and quotes no secret."""
    (folder / ".env").write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        load_env_file()

    assert f"{folder}/.env" in str(caught.value)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_command_and_prefect_read_the_file(folder: Path) -> None:
    """The worker's runs and the temporary server inherit what the command read."""
    (folder / ".env").write_text("POSTGRES_URL=mysql://h/d\n")
    environment = {**os.environ, "POSTGRES_URL": ""}
    del environment["POSTGRES_URL"]

    done = subprocess.run(
        [sys.executable, "-m", "acsync", "status"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "POSTGRES_URL is not a Postgres URL" in done.stderr


def test_a_simulated_account_ignores_the_file(folder: Path) -> None:
    """The file names a real account, and maybe a real database."""
    environment = simulated_environment("http://127.0.0.1:1", "key", 10, folder)

    assert environment["PYTHON_DOTENV_DISABLED"] == "true"


def test_a_misspelt_variable_is_named_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to be ignored, and the default was used."""
    monkeypatch.setenv("ACSYNC_KEEP_SYNC", "3")
    monkeypatch.setenv("AC_QQQQ", "s3cret")
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts")

    assert [*unknown_variables()] == [
        "acsync has no variable ACSYNC_KEEP_SYNC. Did you mean ACSYNC_KEEP_SYNCS?",
        "acsync has no variable AC_QQQQ. See docs/settings.md.",
    ]
