"""Say how one thing stands that a sync needs: what was looked at, what was seen, what to do."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from acsync.errors import AcsyncError

Standing: TypeAlias = Literal["ok", "warning", "problem"]
"""A sync works with a warning, and fails with a problem."""

TOLERATED_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """How one thing stands; `remedy` is empty where nothing is to be done."""

    check: str
    standing: Standing
    seen: str
    remedy: str = ""


def from_error(check: str, error: AcsyncError) -> Finding:
    """Return an error as a problem."""
    return Finding(check, "problem", error.message, error.remedy)


def compare_clocks(check: str, ahead_seconds: float) -> Finding:
    """Judge how far another clock is ahead of this machine's."""
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    seen = f"{abs(ahead_seconds):,.1f} s {direction} this machine's clock."
    if abs(ahead_seconds) <= TOLERATED_SECONDS:
        return Finding(check, "ok", seen)
    remedy = "Let this machine, and the other where it is yours, set its clock by NTP."
    return Finding(check, "warning", seen, remedy)
