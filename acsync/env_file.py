"""Read `.env` in the current folder into the environment, and find misspelt variables."""

import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from acsync.errors import SettingsError, SettingsProblem, find_nearest
from acsync.settings import variable_names

# A variable of python-dotenv: `true` keeps a process and its children away from every `.env`.
DISABLED = "PYTHON_DOTENV_DISABLED"

# Names that start like this belong to acsync.
PREFIXES = ("ACSYNC_", "AC_")


def load_env_file() -> None:
    """Set the variables of `.env` that are not set yet, for child processes too.

    Call it before Prefect is imported: it reads the environment then. Raises SettingsError.
    """
    if (path := find_env_file()) is None:
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
        bad_lines = [part.original.line for part in parse_stream(StringIO(text)) if part.error]
        if bad_lines:
            message = f"line {bad_lines[0]} is not NAME=VALUE: correct it, or put # before it."
            raise SettingsError([SettingsProblem(f"{path}:", message)])
        load_dotenv(stream=StringIO(text))
    except (OSError, ValueError) as error:  # no UTF-8, or a NUL in a value
        reason = error.strerror if isinstance(error, OSError) else "it is not plain UTF-8 text"
        message = f"cannot be read: {reason}. Correct or remove it."
        raise SettingsError([SettingsProblem(str(path), message)]) from None


def find_env_file() -> Path | None:
    """Return the path of `.env` if this process reads it."""
    path = Path.cwd() / ".env"
    is_disabled = os.environ.get(DISABLED, "").casefold() in ("1", "true", "t", "yes", "y")
    return path if path.is_file() and not is_disabled else None


def unknown_variables() -> Iterator[str]:
    """Yield a sentence per variable that looks like acsync's but does not exist."""
    known = variable_names()
    for name in sorted(os.environ):
        if name.startswith(PREFIXES) and name not in known:
            nearest = find_nearest(name, known)
            hint = f" Did you mean {nearest}?" if nearest else " See docs/settings.md."
            yield f"acsync has no variable {name}.{hint}"
