"""Load rows in the shape of the API from JSON; code fills in what differs from row to row."""

from importlib.resources import files
from typing import Any

import orjson

from acsync.models import Record

_FOLDER = files(__package__) / "templates"


class Template:
    """One kind of row: its keys in the API's order, each with a sample or its constant value.

    The links are half the bytes of a row, so they are kept as JSON, cut where the id goes.
    """

    def __init__(self, row: Record) -> None:
        self._row = row
        self._links = orjson.dumps(row["links"]).split(b"{id}")

    def new(self, row_id: int | str) -> Record:
        """Return a new row with this id and its links; lists in it are shared."""
        row = self._row.copy()
        row["id"] = text = str(row_id)
        row["links"] = orjson.Fragment(text.encode().join(self._links))
        return row


def load(name: str) -> Any:
    """Return what is in `templates/<name>.json`."""
    return orjson.loads((_FOLDER / f"{name}.json").read_bytes())
