"""Set up logging of commands and service: text for people, JSON for log collectors."""

import logging
import os
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from acsync.errors import SettingsError
from acsync.settings import read_log_format

# Makes Prefect write its log lines with JsonLines, in child processes too.
JSON_LOGS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
    "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": "acsync.logs.JsonLines",
}

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

logger = logging.getLogger("acsync")


class JsonLines(JsonFormatter):
    """One JSON object per line, with the same keys in commands, service, worker and runs."""

    def __init__(self, *_: object) -> None:  # Prefect passes a format, which is not used
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
            timestamp=True,
        )


def set_up_command() -> None:
    """Log as JSON if ACSYNC_LOG_FORMAT is json, in child processes too.

    Each command reports a wrong format together with its other settings.
    """
    if is_json():
        os.environ.update(JSON_LOGS)
        logging.getLogger().addHandler(_handler(JsonLines()))


def set_up_service() -> None:
    """Log what the service does; call it after importing Prefect, which configures uvicorn."""
    if not is_json():
        logging.getLogger().addHandler(_handler(logging.Formatter(TEXT)))
    for name in ("acsync", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("uvicorn").handlers.clear()
    logging.getLogger("uvicorn").propagate = True


def report(error: Exception | str) -> None:
    """Write an error to standard error: a paragraph, or a log line if logs are JSON."""
    if is_json():
        logger.error("%s", error)
    else:
        sys.stderr.write(f"{error}\n")


def warn(text: str) -> None:
    """Write a warning to standard error: a paragraph, or a log line if logs are JSON."""
    if is_json():
        logger.warning("%s", text)
    else:
        note(f"warning: {text}\n")


def note(text: str) -> None:
    """Write a line to standard error that is no error; nothing if logs are JSON."""
    if not is_json():
        sys.stderr.write(f"{text}\n")


def is_json() -> bool:
    """Return whether logs are JSON; a wrong setting counts as text."""
    try:
        return read_log_format() == "json"
    except SettingsError:
        return False


def _handler(formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    return handler
