"""Name the columns of the wide views after the keys of custom fields."""

import re
import unicodedata
from collections.abc import Container
from itertools import chain, count

MAX_BYTES = 63  # of a name in Postgres
MAX_TYPE_BYTES = 20  # of a type within a name
CURRENCY_SUFFIX = "_currency"


def choose_column(
    key: str, field_id: str, kind: str, taken: Container[str], *, is_second_type: bool = False
) -> str:
    """Return a free name: the key in snake_case, followed by the field's id if necessary.

    A currency field needs a second name that ends in `_currency`. Names in `taken` cannot be used.
    `is_second_type` is for a field that already has a column of another type.
    """
    suffix = CURRENCY_SUFFIX if kind == "currency" else ""
    name = snake_case(key)
    by_type = f"_{field_id}_{snake_case(kind)[:MAX_TYPE_BYTES] or 'text'}"
    ends = ["", f"_{field_id}"] if name else [f"_{field_id}"]
    numbered = (f"{by_type}_{number}" for number in count(2))
    for end in chain([] if is_second_type else ends, [by_type], numbered):
        longest = MAX_BYTES - len(suffix) - len(end)
        column = (name or "field")[:longest] + end
        was_cut = len(name) > longest and not end
        if not was_cut and column not in taken and (not suffix or column + suffix not in taken):
            return column
    raise AssertionError("numbers do not end")


def snake_case(text: str) -> str:
    """Return the text in ASCII snake_case without accents; the result can be empty."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return f"_{name}" if name[:1].isdigit() else name
