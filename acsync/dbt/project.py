"""Render the files of a dbt project for one account."""

import json
import re
from datetime import timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from acsync.schedule import late_after, stale_after
from acsync.store.catalogue import Catalogue, CustomColumn
from acsync.store.database import quote

# In the first line of every file.
MARK = b"Written by acsync dbt, which overwrites this file."

PROJECT_FILE, NAME_LINE = "dbt_project.yml", b"name: acsync"

MINUTE = timedelta(minutes=1)

# dbt writes values into its own Jinja and between single quotes of SQL, without escaping them.
UNSAFE_IN_DBT = frozenset("'{}\\")

# dbt's Jinja stays in the files, so acsync's has other delimiters.
TEMPLATES = Environment(
    loader=PackageLoader("acsync.dbt"),
    autoescape=False,  # noqa: S701  # no HTML
    undefined=StrictUndefined,
    block_start_string="<%",
    block_end_string="%>",
    variable_start_string="<<",
    variable_end_string=">>",
    comment_start_string="<#",
    comment_end_string="#>",
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render_project(catalogue: Catalogue) -> dict[str, str]:
    """Return the text of each file by its path in the project."""
    values: dict[str, Any] = {
        "schema": catalogue.schema,
        "views": catalogue.views,
        "columns": {
            view.name: {column.name: column for column in view.columns}
            for view in catalogue.views.values()
        },
        "custom": catalogue.custom_columns,
        "published": catalogue.published,
        "late_minutes": late_after(catalogue.interval) // MINUTE,
        "stale_minutes": stale_after(catalogue.interval) // MINUTE,
    }
    return {
        path: TEMPLATES.get_template(path).render(values)
        for path in sorted(TEMPLATES.list_templates())
    }


def to_yaml(text: str) -> str:
    """Return the text as a YAML scalar in double quotes, with a space in each `{{`.

    dbt renders Jinja in its YAML, and a title or a choice of the account must not become code.
    """
    harmless = re.sub(r"\{(?=[{%#])", "{ ", text)
    return "".join(map(_escape, json.dumps(harmless, ensure_ascii=False)))


def _escape(letter: str) -> str:
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


def is_testable(column: CustomColumn) -> bool:
    """Return whether dbt can compare the values of a column with its choices."""
    return bool(column.choices) and not UNSAFE_IN_DBT.intersection("".join(column.choices))


TEMPLATES.filters |= {"yaml": to_yaml, "quoted": quote}
TEMPLATES.tests["testable"] = is_testable
