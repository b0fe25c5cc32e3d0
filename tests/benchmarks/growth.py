"""Sync accounts of 10,000 to 1,000,000 records, and compute what ten million would take.

Run it with `make growth`; it takes half an hour. The account has no rate limit. The minutes at 5
and 10 calls per second are computed from the number of calls.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from tests.benchmarks.full_sync import calls_needed, change, say, served, vacuum
from tests.benchmarks.measure import SyncCost, measure_sync
from tests.benchmarks.report import FOLDER, markdown_table

SIZES = (10_000, 100_000, 1_000_000)
COMPUTED = 10_000_000
CALLS_PER_SECOND = 1_000.0
RATES = (5, 10)
INTERVAL_MINUTES = 15

# Both figures are from `make bench`: the share of the limit that the margin for jitter leaves, and
# the seconds before the first call and after the last.
REACHED, AROUND_SECONDS = 0.985, 4.0


@dataclass(frozen=True)
class Size:
    """The cost of three syncs of an account with this number of records."""

    records: int
    is_measured: bool
    calls: int
    peak_mb: float
    first_wal_mb: float
    unchanged_wal_mb: float
    changed_wal_mb: float
    tables_mb: float

    def minutes(self, rate: int) -> float:
        """Return how long an unchanged sync takes at this number of calls per second."""
        return (self.calls / rate / REACHED + AROUND_SECONDS) / 60

    def cells(self) -> dict[str, str]:
        """Return the cells of the table by their title."""
        return {
            "records": f"{self.records:,}" + ("" if self.is_measured else " (computed)"),
            "calls": f"{self.calls:,}",
            **{f"minutes at {rate} calls/s": f"{self.minutes(rate):,.1f}" for rate in RATES},
            "peak MB of the sync": f"{self.peak_mb:,.0f}",
            "WAL MB: first sync": f"{self.first_wal_mb:,.0f}",
            "unchanged": f"{self.unchanged_wal_mb:.1f}",
            "1 % changed": f"{self.changed_wal_mb:,.1f}",
            "tables MB": f"{self.tables_mb:,.0f}",
        }


def main() -> None:
    """Measure each size, compute the largest, and write table and chart."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    sizes = [measure(records) for records in parser.parse_args().sizes]
    sizes.append(compute(sizes[-1], COMPUTED))
    FOLDER.mkdir(exist_ok=True)
    table = markdown_table([size.cells() for size in sizes])
    (FOLDER / "growth.md").write_text(table)
    (FOLDER / "growth.svg").write_text(chart(sizes))
    say(f"\n{table}\nWritten to {FOLDER}/growth.md and growth.svg")


def measure(records: int) -> Size:
    """Sync an account three times: new, unchanged, and with 1 % of its records changed."""
    contacts = round(records * 82 / 157)
    options = AccountOptions(contacts=contacts, deals=records - contacts, rate_limit=None)
    account = Account(options)
    with served(options, CALLS_PER_SECOND) as (server, database):
        os.environ["ACSYNC_MAX_DURATION"] = "2h"
        costs = [measure_sync(database, server)]
        vacuum(database)
        costs.append(measure_sync(database, server))
        change(server, account)
        costs.append(measure_sync(database, server))
    say(f"{records:,} records, {calls_needed(account):,} calls needed: " + describe(costs))
    first, unchanged, changed = costs
    return Size(
        records,
        is_measured=True,
        calls=unchanged.calls,
        peak_mb=max(cost.peak_mb for cost in costs),
        first_wal_mb=first.wal_mb,
        unchanged_wal_mb=unchanged.wal_mb,
        changed_wal_mb=changed.wal_mb,
        tables_mb=changed.tables_mb,
    )


def describe(costs: Sequence[SyncCost]) -> str:
    """Return wall time and peak memory of each sync."""
    return ", ".join(f"{cost.wall_seconds:.0f} s {cost.peak_mb:.0f} MB" for cost in costs)


def compute(largest: Size, records: int) -> Size:
    """Compute the figures that grow with the records from the largest measured size."""
    times = records / largest.records
    return Size(
        records,
        is_measured=False,
        calls=round(largest.calls * times),
        peak_mb=largest.peak_mb,
        first_wal_mb=largest.first_wal_mb * times,
        unchanged_wal_mb=largest.unchanged_wal_mb * times,
        changed_wal_mb=largest.changed_wal_mb * times,
        tables_mb=largest.tables_mb * times,
    )


WIDTH, HEIGHT, LEFT, BOTTOM = 640, 300, 60, 260
COLOURS = dict(zip(RATES, ("#c2410c", "#356ae6"), strict=True))


def chart(sizes: Sequence[Size]) -> str:
    """Return an SVG of the minutes per sync by records, both logarithmic, with the interval."""
    minutes = [size.minutes(rate) for size in sizes for rate in RATES]
    low, high = log10(min(minutes)) - 0.1, log10(max(minutes)) + 0.1
    first, last = log10(sizes[0].records), log10(sizes[-1].records)

    def point(records: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - 20) * (log10(records) - first) / (last - first)
        return x, BOTTOM - (BOTTOM - 30) * (log10(value) - low) / (high - low)

    interval = point(sizes[0].records, INTERVAL_MINUTES)[1]
    parts = [
        '<text x="0" y="14" font-weight="bold">Minutes per full sync, by records</text>',
        f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{interval:.1f}" y2="{interval:.1f}" '
        'stroke="#888" stroke-dasharray="4"/>',
        f'<text x="{LEFT + 4}" y="{interval - 5:.1f}">{INTERVAL_MINUTES} minutes</text>',
    ]
    for rate in RATES:
        points = [point(size.records, size.minutes(rate)) for size in sizes]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        x, y = points[-1]
        parts += [
            f'<polyline points="{line}" fill="none" stroke="{COLOURS[rate]}" stroke-width="2"/>',
            f'<text x="{x - 4:.1f}" y="{y - 8:.1f}" text-anchor="end" fill="{COLOURS[rate]}">'
            f"{rate} calls/s</text>",
        ]
    for size in sizes:
        x, _ = point(size.records, 1)
        parts.append(
            f'<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{size.records:,}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 20} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    main()
