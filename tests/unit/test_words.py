"""The project is written in plain English: few sentences read as translated."""

from pathlib import Path

import pytest

from tests.support.documents import GROUPS, ROOT, measure, split_sentences

# The most per 100 sentences: some of the patterns can be good English.
CEILINGS = {"code": 2.0, "tests": 2.0, "documents": 2.0}


@pytest.mark.parametrize("group", GROUPS)
def test_few_sentences_read_as_translated(group: str) -> None:
    """The failure lists the sentences; `python -m tests.support.documents` does so at any time."""
    share = measure(ROOT / path for path in GROUPS[group])

    assert share.sentences > 500
    assert share.percent <= CEILINGS[group], f"\n{share}"


def test_text_is_split_into_sentences_without_code() -> None:
    """Fragments of one or two words are no sentences."""
    text = "Read a page: it is full. Not this; `x: where it is` ends the list! Is it?"

    assert split_sentences(text) == ["Read a page:", "it is full.", "ends the list!"]


MODULE = '''"""Read where it is."""
# A comment where it is,
# on two lines.
message = f"no row came where it was: {'where it is so':x}"
pattern = r"where it was\\b and more"
sql = """
-- A comment in SQL where it is.
select x from t where it_is
"""
'''
TEMPLATE = """<p title="said where it is"><b>A text</b> {{ x }} is
where it is today</p> <code>where it is</code>
"""
SQL = """-- Look where it is.
comment on view v is 'Rows where it''s full.';
select 'where it is';
"""
DESCRIPTIONS = """models:
  - name: where it is
    description: >
      One row per stay, also
      where it is open.
    columns:
      - description: Look where it is
"""
DOCUMENT = """# Look where it is
```
where it is
```
| a | see where it is |
"""


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("module.py", MODULE, [1, 2, 4, 4, 7]),
        ("page.html", TEMPLATE, [1, 2]),
        ("0010_new.sql", SQL, [1, 2]),
        ("0009_old.sql", SQL, []),
        ("page.md", DOCUMENT, [1, 5]),
        ("models.yml", DESCRIPTIONS, [3, 7]),
    ],
)
def test_prose_is_found_in_each_kind_of_file(
    tmp_path: Path, name: str, text: str, lines: list[int]
) -> None:
    """Sentences that are not found are not counted."""
    (tmp_path / name).write_text(text)

    hits = measure([tmp_path]).hits

    assert sorted(hit.line for hit in hits) == lines
