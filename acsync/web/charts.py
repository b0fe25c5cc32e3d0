"""Draw the log's periods as lines of an SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acsync.store.sync_history import Period

# Of the SVG's viewBox; the left margin is for the numbers of the axis.
WIDTH, HEIGHT, LEFT, TOP = 320, 120, 52, 8

# With fewer points, a chart shows nothing that the table does not show.
FEWEST_POINTS = 4

Value = Callable[[Period], float | None]


@dataclass(frozen=True)
class Line:
    """One line: its name and its polylines; a missing value breaks it into parts."""

    name: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """One chart; `summary` says the last values, for people who do not see it."""

    title: str
    lines: tuple[Line, ...]
    highest: str
    first: str
    last: str
    summary: str


CHARTS: dict[str, dict[str, Value]] = {
    "Records": {
        "contacts": lambda period: period.contacts,
        "deals": lambda period: period.deals,
    },
    "Changes per sync": {
        "added": lambda period: period.added,
        "updated": lambda period: period.updated,
        "deleted": lambda period: period.deleted,
    },
    "Duration in seconds": {
        "average": lambda period: period.duration_ms / 1000,
        "longest": lambda period: period.longest_ms / 1000,
    },
    "Calls per sync, and calls refused": {
        "calls": lambda period: period.calls,
        "refused": lambda period: period.refused,
    },
}


def make_charts(periods: Sequence[Period]) -> list[Chart]:
    """Return all charts of these periods, or none if they are too few."""
    if len(periods) < FEWEST_POINTS:
        return []
    return [_chart(title, values, periods) for title, values in CHARTS.items()]


def _chart(title: str, values: dict[str, Value], periods: Sequence[Period]) -> Chart:
    columns = {name: [value(period) for period in periods] for name, value in values.items()}
    highest = max((value for column in columns.values() for value in column if value), default=0.0)
    first, last = periods[0].start, periods[-1].start
    span = (last - first).total_seconds() or 1.0
    places = [(period.start - first).total_seconds() / span for period in periods]
    newest = ", ".join(f"{name} {_number(column[-1])}" for name, column in columns.items())
    return Chart(
        title,
        tuple(
            Line(name, _parts(places, column, highest or 1.0)) for name, column in columns.items()
        ),
        _number(highest),
        f"{first:%d %b}",
        f"{last:%d %b}",
        f"{title}, last 7 days. At the end: {newest}.",
    )


def _parts(
    places: Sequence[float], column: Sequence[float | None], highest: float
) -> tuple[str, ...]:
    """Return the line as polylines, broken at missing values."""
    parts: list[list[str]] = [[]]
    for place, value in zip(places, column, strict=True):
        if value is None:
            parts.append([])
            continue
        x = LEFT + place * (WIDTH - LEFT - TOP)
        y = HEIGHT - TOP - value / highest * (HEIGHT - 3 * TOP)
        parts[-1].append(f"{x:.1f},{y:.1f}")
    # A single point becomes a dot: a line without length, with round ends.
    return tuple(" ".join(part * 2 if len(part) == 1 else part) for part in parts if part)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.1f}" if 0 < value < 10 and value != round(value) else f"{value:,.0f}"
