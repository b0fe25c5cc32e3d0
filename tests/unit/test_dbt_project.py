"""Texts of an account cannot break or inject into the dbt project."""

import pytest
import yaml

from acsync.dbt.project import is_testable, to_yaml
from acsync.simulator.values import ODD_TEXTS
from acsync.store.catalogue import CustomColumn

ODD = [
    *(text.replace("\0", "") for text in ODD_TEXTS),
    *(
        "",
        "a: b # c",
        "- item",
        "yes",
        "\u2028 and \x85 and \x7f",
        "tab\tand \x1b[31m",
        "<% x %> << y >>",
    ),
]


@pytest.mark.parametrize("text", [text for text in ODD if "{{" not in text])
def test_every_text_survives_yaml(text: str) -> None:
    """Titles and choices are any text."""
    assert yaml.safe_load(f"key: {to_yaml(text)}") == {"key": text}


@pytest.mark.parametrize("text", ["{{ run_query('x') }}", "{% do x %}", "{# x #}", "{{{{%"])
def test_no_text_becomes_jinja(text: str) -> None:
    """dbt would run it, with the rights of whoever runs dbt."""
    scalar = to_yaml(text)

    assert not any(mark in scalar for mark in ("{{", "{%", "{#"))
    assert yaml.safe_load(scalar).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (("s", "n/a", "Größe – 100 %", 'say "x"'), True),
        ((), False),
        (("s", "don't"), False),
        (("s", "{{ x }}"), False),
        (("s", "back\\slash"), False),
    ],
)
def test_only_plain_choices_are_tested(choices: tuple[str, ...], expected: bool) -> None:
    """dbt writes the values of a test into SQL without escaping them."""
    assert is_testable(CustomColumn("plan", "", choices)) is expected
