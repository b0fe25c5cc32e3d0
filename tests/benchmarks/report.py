"""Write measured figures as a table in Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path

# In the project's folder, ignored by git.
FOLDER = Path(__file__).parents[2] / ".benchmarks"


def markdown_table(columns: Sequence[Mapping[str, str]]) -> str:
    """Return a table with one line per figure, since there are more figures than columns."""
    [title, *figures] = columns[0]
    lines = [
        "| | " + " | ".join(column[title] for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(column[name] for column in columns) + " |"
            for name in figures
        ),
    ]
    return "\n".join(lines) + "\n"
