"""Write the comparison as a Markdown table: a row a measure, a column a tool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from acsync.models import DatasetName
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.requests import LoggedCall
from tests.benchmarks.compare.copy_check import Check
from tests.benchmarks.compare.measured_run import Run
from tests.benchmarks.compare.tools import Tool
from tests.benchmarks.full_sync import calls_needed

NOTHING, COPIED = "–", "copied"


@dataclass(frozen=True)
class Losses:
    """What became of the records that existed during the whole copy of a changing account."""

    lost: Mapping[DatasetName, int] = field(default_factory=dict)
    doubled: int = 0
    throughout: int = 0
    failure: str | None = None


@dataclass(frozen=True)
class Result:
    """What one tool did; `failure` says why there is no more."""

    tool: Tool
    failure: str | None = None
    first: Run | None = None
    calls: Sequence[LoggedCall] = ()
    checks: dict[DatasetName, Check] = field(default_factory=dict)
    values: tuple[int, int] | None = None
    again: Run | None = None
    deleted: str = NOTHING
    losses: Losses | None = None
    nul: str = COPIED

    @property
    def exact(self) -> bool:
        """Return whether the first copy, NUL and all, of the account at rest is exact."""
        checks = self.checks.values()
        return bool(checks) and all(check.exact for check in checks) and self.nul == COPIED


NOTES = """\
Each tool runs from the package registry, in an environment of its own, as its documentation says. \
Installing and setting up is not measured: environments, acsync's and Prefect's own tables, the \
tap's discovery. Exact: each id once, none else, and address, phone and names of contacts, title, \
value, currency and status of deals equal. Memory is that of all processes of a copy; a Prefect \
server at hand is not among them.

dlt's pipeline asks for records in id order. The tap and the Airbyte source cannot be told to, and \
without it the simulated account lists deals in no stable order, as a real one was seen to do. \
Under deletions, pages by offset skip records in any order. On a real account, the tap's second \
copy reads only the contacts that changed; the simulated one ignores that filter. The Airbyte \
source's own program does not run on Python 3.11, so PyAirbyte runs its manifest. The tap and the \
source force https: they reach the account through an HTTPS proxy.
"""


def make_table(results: Sequence[Result], options: AccountOptions) -> str:
    """Return the table, what it is of, and its notes."""
    needed, limit = calls_needed(Account(options)), options.rate_limit or 1.0
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}: {options.contacts:,} contacts and {options.deals:,} deals, "
        f"{limit:g} calls in any second, {options.latency_seconds * 1000:g} ms a call. "
        f"{needed:,} calls are needed, so {needed / limit:.1f} s is the floor."
    )
    columns = [_column(result, needed, needed / limit) for result in results]
    rows = [["", *(result.tool.title for result in results)], ["---"] * (len(results) + 1)]
    rows += [[name, *(column[name] for column in columns)] for name in columns[0]]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "", *lines, "", NOTES])


def _column(result: Result, needed: int, floor: float) -> dict[str, str]:
    """Return the cells of one tool by the name of their row."""
    tool, values = result.tool, result.values
    return {
        "time, from start to readable": _time(result.first, floor)
        if result.first
        else result.failure or "",
        "the same, for a second copy": _time(result.again, floor),
        "calls": _calls(result, needed),
        "peak memory": f"{result.first.peak_mb:.0f} MB" if result.first else NOTHING,
        "contacts": _exactness(result.checks.get("contacts")),
        "deals": _exactness(result.checks.get("deals")),
        "names with a NUL in them": result.nul if result.first else NOTHING,
        "custom values of contacts, by title": _share(*values) if values else NOTHING,
        "how these are read": tool.custom_fields,
        "deleted before the second copy, and still there": result.deleted,
        "lost while 20 records a second change": _losses(result.losses),
        "what a second copy does": tool.repeats,
        "rate limit": tool.limits,
    }


def _time(run: Run | None, floor: float) -> str:
    if run is None:
        return NOTHING
    if run.status:
        return f"failed: {run.last_words}"
    return f"{run.seconds:.1f} s, {run.seconds / floor:.2f} times the floor"


def _calls(result: Result, needed: int) -> str:
    if not result.calls:
        return NOTHING
    calls, refused = len(result.calls), sum(call.status == 429 for call in result.calls)
    return f"{calls:,}, {calls / needed:.2f} times the needed; {refused:,} refused"


def _exactness(check: Check | None) -> str:
    if check is None:
        return NOTHING
    if check.exact:
        return f"all {check.expected:,}, exact"
    wrong = {"doubled": check.doubled, "unknown": check.extra, "differing": check.differing}
    said = "".join(f", {count:,} {name}" for name, count in wrong.items() if count)
    return f"{check.present:,} of {check.expected:,}{said}"


def _share(found: int, existing: int) -> str:
    return f"all {found:,}" if found == existing else f"{found:,} of {existing:,}"


def _losses(losses: Losses | None) -> str:
    if losses is None:
        return NOTHING
    if losses.failure:
        return f"failed: {losses.failure}"
    doubled = f"; {losses.doubled:,} doubled" if losses.doubled else ""
    lost = ", ".join(f"{count:,} {name}" for name, count in losses.lost.items())
    return f"{lost}, of {losses.throughout:,} records{doubled}"
