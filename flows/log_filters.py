"""Keep the log of a run short enough to be read: tens of lines, not one for each task."""

import logging


def drop_routine_lines() -> None:
    """Drop what Prefect says once for each of some 150 tasks when all is well."""
    logging.getLogger("prefect.task_runs").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Tell what is no routine: how a task ended well is, which the timeline shows.

    So is that a thread cannot be interrupted: every call inside a slice has timeouts of its own,
    so the task's is met between two calls.
    """
    ended_well = record.levelno <= logging.INFO and record.msg.startswith("Finished in state")
    return not ended_well and "running in a worker thread" not in record.msg
