"""The page `/data` and docs/data.md show the same keys and joins."""

import re
from itertools import chain

from acsync.web.data_page import JOINS, KEYS, PLACES, TOPICS
from tests.support.documents import ROOT, table_rows

DOCUMENT = (ROOT / "docs" / "data.md").read_text()


def test_the_picture_of_the_document_has_the_same_joins() -> None:
    """One is Mermaid, the other is SVG."""
    lines = re.findall(r"^    (\w+) \|\|--o\{ (\w+) : (\w+)$", DOCUMENT, re.MULTILINE)

    assert {(join.one, join.many, join.column) for join in JOINS} == {*lines}
    assert len(lines) == len(JOINS)
    assert {*PLACES} == {*chain.from_iterable((join.one, join.many) for join in JOINS)}


def test_the_document_has_the_same_keys() -> None:
    """A key is the last cell of the row of its view."""
    documented = {
        view: tuple(re.findall(r"\w+", row[3]))
        for row in table_rows("docs/data.md")
        if len(row) == 4
        for view in re.findall(r"`(ac_\w+)`", row[0])
    }

    assert documented == {
        view: key for view, key in KEYS.items() if view not in ("ac_sync_logs", "ac_latest_sync")
    } | {"ac_latest_sync": ()}


def test_every_view_with_a_key_has_a_topic() -> None:
    """Views without a topic come last, under another title."""
    assert sorted(chain.from_iterable(TOPICS.values())) == sorted(KEYS)
