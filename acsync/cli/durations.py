"""Read durations the way people write them."""

import re
from datetime import timedelta

import typer

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """Read `900s`, `30m`, `2h` or `1d`; raises a usage error for anything else."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 30m, 2h or 900s.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
