"""Write what was measured: a table in Markdown, a bar chart in SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

# Beside the sources, ignored by git.
FOLDER = Path(__file__).parents[2] / ".benchmarks"

BAR, GAP, LABEL, WIDTH = 18, 8, 190, 640


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a table with a column a row and a line a figure, since there are many figures."""
    [title, *figures] = rows[0]
    lines = [
        "| | " + " | ".join(row[title] for row in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
        *(f"| {name} | " + " | ".join(row[name] for row in rows) + " |" for name in figures),
    ]
    return "\n".join(lines) + "\n"


def bar_chart(title: str, values: Mapping[str, float], unit: str = "") -> str:
    """Return an SVG with a bar a value, each labelled with its name and figure."""
    most = max(values.values())
    parts = [f'<text x="0" y="14" font-weight="bold">{escape(title)}</text>']
    for place, (name, value) in enumerate(values.items()):
        top = 28 + place * (BAR + GAP)
        width = (WIDTH - LABEL - 80) * value / most
        parts += [
            f'<text x="0" y="{top + 13}">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" fill="#356ae6"/>',
            f'<text x="{LABEL + width + 6:.1f}" y="{top + 13}">{value:,.3g}{unit}</text>',
        ]
    height = 28 + len(values) * (BAR + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>\n'
    )
