"""README and docs name the settings, commands, messages and files that exist."""

import ast
import re
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from acsync.cli.app import app
from tests.support.documents import DOCUMENTS, ROOT, literals, table_rows

SETTINGS = (ROOT / "acsync" / "settings.py").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

# Only compose.yaml reads these.
OF_OTHERS = {"POSTGRES_PASSWORD"}

# acsync does not write these messages.
FOREIGN = {"Deployment concurrency limit reached"}


def test_the_readme_takes_five_minutes() -> None:
    """Details belong in docs."""
    readme = (ROOT / "README.md").read_text()

    assert len(readme.splitlines()) <= 130
    assert len(readme.split()) <= 1_500


def test_the_settings_table_names_every_variable_that_is_read() -> None:
    """Nobody can use a setting that is not documented."""
    read = set(re.findall(r'"((?:AC|ACSYNC|POSTGRES|DATABASE|CRON|LIMIT)_[A-Z_]+)"', SETTINGS))
    documented = {
        match[1]
        for row in table_rows("docs/settings.md")
        if (match := re.fullmatch(r"`([A-Z_]+)`", row[0]))
    }
    example = (ROOT / ".env.example").read_text()

    assert documented == read - {"DATABASE_URL"}
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert {name for name in named - OF_OTHERS if not name.startswith("PREFECT_")} == documented


def test_the_command_table_names_every_command_and_option() -> None:
    """`--account` is explained once, below the table."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    documented = {
        match[1]: set(re.findall(r"--[a-z-]+", row[1]))
        for row in table_rows("docs/commands.md")
        if (match := re.fullmatch(r"`acsync ([a-z]+)`", row[0]))
    }

    assert documented == {
        name: {
            option
            for param in command.params
            for option in (*param.opts[:1], *param.secondary_opts)
            if option.startswith("--")
        }
        - {"--account"}
        for name, command in group.commands.items()
    }


def test_every_message_of_troubleshooting_exists() -> None:
    """People search for the words they see."""
    files = [path for room in ("acsync", "flows") for path in (ROOT / room).rglob("*.py")]
    code = "\n".join(text for path in files for _, text in literals(ast.parse(path.read_text())))
    documented = {
        message
        for row in table_rows("docs/troubleshooting.md")
        for message in re.findall(r"`([^`]+)`", row[0])
        if " " in message and "status" not in message
    }

    missing = {
        message
        for message in documented - FOREIGN
        if not all(part.strip() in code for part in re.split(r"…|\d+|\(.*?\)", message))
    }

    assert len(documented) >= 15
    assert missing == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file of this repository, and to a heading of it."""
    links = re.findall(r"\]\((?!https?:)([^)]*)\)", path.read_text())

    broken = [link for link in links if not _exists(path, link)]

    assert broken == []


def _exists(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    if not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/production.md"])
def test_the_documented_make_targets_exist(name: str) -> None:
    """They are the first thing anybody types."""
    targets = set(re.findall(r"(?:^|`|\$ )make ([a-z]+)", (ROOT / name).read_text(), re.MULTILINE))

    assert targets
    assert targets <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
