"""The result of one check: what was looked at, what was seen, what to do."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from acsync.errors import AcsyncError

# A sync works with a warning, and fails with a problem.
Status: TypeAlias = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; `remedy` is empty where there is nothing to do."""

    check: str
    status: Status
    seen: str
    remedy: str = ""


def from_error(check: str, error: AcsyncError, remedy: str = "") -> CheckResult:
    """Return an error as a problem; a `remedy` goes before the error's own."""
    return CheckResult(check, "problem", error.message, remedy or error.remedy)
