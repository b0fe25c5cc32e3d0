"""Write the comparison as the Markdown table of docs/benchmarks.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from acsync.datasets import DatasetName
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.requests import LoggedCall
from tests.benchmarks.compare.copy_check import Check
from tests.benchmarks.compare.measured_run import Run
from tests.benchmarks.compare.tools import Tool
from tests.benchmarks.compare.venvs import PINS
from tests.benchmarks.full_sync import calls_needed
from tests.benchmarks.report import markdown_table

NOTHING, COPIED = "–", "copied"


@dataclass(frozen=True)
class Result:
    """The measurements of one tool; `failure` is the reason if a copy failed."""

    tool: Tool
    failure: str = NOTHING
    first: Run | None = None
    second: Run | None = None
    calls: Sequence[LoggedCall] = ()
    checks: Mapping[DatasetName, Check] = field(default_factory=dict)
    values: str = NOTHING
    deleted: str = NOTHING
    lost: str = NOTHING
    nul: str = COPIED

    @property
    def is_exact(self) -> bool:
        """Return whether the first copy is exact, including NUL."""
        checks = self.checks.values()
        return bool(checks) and all(check.is_exact for check in checks) and self.nul == COPIED


def make_table(results: Sequence[Result], options: AccountOptions) -> str:
    """Return the table, with its date, account and versions."""
    needed, limit = calls_needed(Account(options)), options.rate_limit or 1.0
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}: {options.contacts:,} contacts and {options.deals:,} deals. "
        f"{needed:,} calls are needed, at least {needed / limit:.1f} s. {', '.join(PINS.values())}."
    )
    columns = [_column(result, needed, needed / limit) for result in results]
    return f"{head}\n\n{markdown_table(columns)}"


def _column(result: Result, needed: int, floor: float) -> dict[str, str]:
    """Return the cells of one tool by the name of their row."""
    checks = {name: str(check) for name, check in result.checks.items()}
    return {
        "tool": result.tool.title,
        "first copy": _time(result.first, floor) if result.first else result.failure,
        "second copy": _time(result.second, floor),
        "calls": _calls(result, needed),
        "peak memory": f"{result.first.peak_mb:.0f} MB" if result.first else NOTHING,
        "contacts": checks.get("contacts", NOTHING),
        "deals": checks.get("deals", NOTHING),
        "names with a NUL in them": result.nul if result.first else NOTHING,
        "custom values of contacts, by title": result.values,
        "deleted before the second copy, still there": result.deleted,
        "lost while 20 records per second change": result.lost,
    }


def _time(run: Run | None, floor: float) -> str:
    if run is None:
        return NOTHING
    if run.status:
        return f"failed: {run.last_error}"
    return f"{run.seconds:.1f} s, {run.seconds / floor:.2f}×"  # noqa: RUF001


def _calls(result: Result, needed: int) -> str:
    if not result.calls:
        return NOTHING
    refused = sum(call.status == 429 for call in result.calls)
    text = f"{len(result.calls):,}, {len(result.calls) / needed:.2f}×"  # noqa: RUF001
    return f"{text}; {refused:,} refused" if refused else text
