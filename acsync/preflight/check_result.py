"""The result of one check: its name, what it saw and what to do."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from acsync.errors import AcsyncError

# A sync works despite a warning, and fails because of a problem. If the account does not answer a
# question, the result is `unknown`.
Status: TypeAlias = Literal["ok", "unknown", "warning", "problem"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; `remedy` is empty if there is nothing to do."""

    check: str
    status: Status
    seen: str
    remedy: str = ""


def from_error(check: str, error: AcsyncError, remedy: str = "") -> CheckResult:
    """Return an error as a problem; `remedy` replaces the error's remedy."""
    return CheckResult(check, "problem", error.message, remedy or error.remedy)
