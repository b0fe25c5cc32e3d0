"""How often a full sync runs, and when its data is late or stale."""

from datetime import timedelta

DEFAULT_INTERVAL = timedelta(minutes=15)

# Data is late after two intervals without a full sync, and stale after three.
LATE_INTERVALS, STALE_INTERVALS = 2, 3


def late_after(interval: timedelta) -> timedelta:
    """Return the age from which data is late."""
    return LATE_INTERVALS * interval


def stale_after(interval: timedelta) -> timedelta:
    """Return the age from which data is stale."""
    return STALE_INTERVALS * interval
