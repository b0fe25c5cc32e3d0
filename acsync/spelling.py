"""Spell durations and numbers of things for people."""

from datetime import timedelta

UNITS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


def spell(duration: timedelta) -> str:
    """Return a duration in its largest whole unit, such as `45 minutes`."""
    seconds = duration.total_seconds()
    unit = next((unit for unit, length in UNITS.items() if not seconds % length), "second")
    number = seconds / UNITS[unit]
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"


def spell_count(number: int, singular: str, plural: str = "") -> str:
    """Return a number of things, such as `1 deal` or `1,200 deals`."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def spell_age(age: timedelta) -> str:
    """Return a duration in the largest unit that fits, such as `4 min`."""
    seconds = round(age.total_seconds())
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit or (seconds >= unit and unit == 60):
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
