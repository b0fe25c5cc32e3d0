"""Read README and docs, so that tests can hold them to the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
)


def code_blocks(language: str) -> list[str]:
    """Return the blocks of a language from all documents."""
    block = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [text for path in DOCUMENTS for text in block.findall(path.read_text())]


def table_rows(name: str) -> list[list[str]]:
    """Return the cells of each row of the tables in a document, such as `docs/settings.md`."""
    lines = (ROOT / name).read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|") and not line.startswith(("|--", "|:-"))
    ]
