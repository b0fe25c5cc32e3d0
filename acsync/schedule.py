"""How often a full sync runs, when its data is late or stale, and how numbers are spelled."""

from datetime import timedelta

DEFAULT_INTERVAL = timedelta(minutes=15)

# Data is late after two intervals without a full sync, and stale after three.
LATE_INTERVALS, STALE_INTERVALS = 2, 3

UNITS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


def late_after(interval: timedelta) -> timedelta:
    """Return the age from which data is late."""
    return LATE_INTERVALS * interval


def stale_after(interval: timedelta) -> timedelta:
    """Return the age from which data is stale."""
    return STALE_INTERVALS * interval


def spell(duration: timedelta) -> str:
    """Return a duration in its largest whole unit, such as `45 minutes`."""
    seconds = duration.total_seconds()
    unit = next((unit for unit, length in UNITS.items() if not seconds % length), "second")
    number = seconds / UNITS[unit]
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"


def spell_count(number: int, singular: str, plural: str = "") -> str:
    """Return a number of things, such as `1 deal` or `1,200 deals`."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
