"""Keep Prefect's own lines out of what a command prints; they stay in Prefect."""

import logging
import os


def quiet_prefect() -> None:
    """Set what Prefect reads when it is first imported, unless the user has.

    Where its server is away, Prefect writes each event and each failure to log past its loggers.
    """
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    logging.raiseExceptions = False
