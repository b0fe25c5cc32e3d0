"""Save an account's responses in their exact shape and without its data, for bug reports.

Keys, types, lengths, nulls, empty values and zero dates are kept. Letters are replaced:
`Ada@acme.com` becomes `Xxx@xxxx.xxx`. A number of two or more digits is replaced by another of the
same length, and always by the same one, so ids still refer to each other.
"""

import json
import re
import unicodedata
from collections.abc import Collection
from pathlib import Path
from typing import Any

from acsync.activecampaign.client import Exchange
from acsync.activecampaign.page import parse_json
from acsync.errors import SettingsError, SettingsProblem
from acsync.files import replace_file
from acsync.private_fields import STANDARD
from acsync.settings import Settings

# No other header describes how the account answers.
HEADERS = ("content-type", "retry-after", "ratelimit-limit", "ratelimit-remaining")

# Parameters whose values acsync chooses itself.
PLAIN_PARAMS = (
    "limit", "offset", "include", "orders[id]", "orders[mdate]", "exclude", "filters[data_type]",
)  # fmt: skip

# Bytes kept of a response that is not JSON.
MAX_TEXT = 100_000

# Words of the API itself. They explain a row and are not personal.
KNOWN_WORDS = frozenset((
    "text", "textarea", "date", "datetime", "dropdown", "multiselect", "listbox", "radio",
    "checkbox", "hidden", "currency", "number", "true", "false", "null", "usd", "eur", "gbp",
    "d_stageid", "status", "userid",
))  # fmt: skip

NUMBER = re.compile(r"-?[0-9]+")
# The whole text must match: a note that begins with a date is personal.
TIME = re.compile(
    r"([0-9]{4})-[0-9]{2}-[0-9]{2}"
    r"(?:([T ])[0-9]{2}:[0-9]{2}:[0-9]{2}((?:\.[0-9]+)?(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?))?"
)


class Disguise:
    """Replaces values by others of the same kind, and a number always by the same number.

    The values of `left_out` keys become null.
    """

    def __init__(self, left_out: Collection[str] = ()) -> None:
        self._numbers: dict[str, str] = {}
        self._left_out = frozenset(left_out)

    def value(self, value: Any) -> Any:
        """Return a value of the same shape, without the original texts and numbers."""
        if isinstance(value, dict):
            return {
                key: None if key in self._left_out else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return int(self._number(str(value)))
        mantissa, *exponent = str(value).lower().partition("e")
        return float(re.sub("[0-9]", "9", mantissa) + "".join(exponent))

    def text(self, text: str) -> str:
        """Return a text of the same length and kind."""
        if text.lower() in KNOWN_WORDS:
            return text
        if time := TIME.fullmatch(text):
            return self._time(text, time)
        if NUMBER.fullmatch(text):
            return self._number(text)
        return "".join(map(_mask_letter, text))

    def _number(self, text: str) -> str:
        """Number the values of each length in turn; a single digit is a code and is kept."""
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
        if len(digits) < 2 or not digits.strip("0"):
            return text
        if digits not in self._numbers:
            first = 10 ** (len(digits) - 1)
            taken = sum(len(known) == len(digits) for known in self._numbers)
            self._numbers[digits] = str(first + taken % (9 * first))
        return sign + self._numbers[digits]

    def _time(self, text: str, time: re.Match[str]) -> str:
        """Return the same moment for every time; zero dates and the format are kept."""
        year, separator, offset = time.groups()
        if year == "0000":
            return text
        clock = f"{separator}04:05:06{re.sub('[0-9]', '0', offset)}" if separator else ""
        return f"2001-02-03{clock}"


def _mask_letter(letter: str) -> str:
    """Replace a letter by a letter and a digit by a digit; keep blanks and marks.

    Circled, bracketed and squared characters count as the letters that they show.
    """
    shown = unicodedata.normalize("NFKD", letter)
    if any(map(str.isdigit, shown)):
        return "9"
    if any(map(str.isalpha, shown)):
        plain = "X" if letter.isupper() else "x"
        return plain if letter.isascii() else "Ä" if letter.isupper() else "ä"
    return letter


def find_left_out(settings: Settings) -> frozenset[str]:
    """Return the keys that privacy rules name; with a rule for one custom field, of all values."""
    # Importing pandas takes a second.
    from acsync.enrich.custom_fields import DEAL_VALUE_COLUMNS  # noqa: PLC0415

    keys, of_values = set[str](), ("value", *DEAL_VALUE_COLUMNS)
    for dataset, names in STANDARD.items():
        privacy = settings.privacy(dataset)
        for name in (*privacy.left_out, *privacy.hashed):
            keys.update(names.get(name, of_values))
        keys.update(of_values if privacy.holds_new else ())
    return frozenset(keys)


class SampleWriter:
    """Writes the first response of each kind of call to a folder, in disguise.

    A page without rows is another kind: it shows which records a filter leaves out.
    """

    def __init__(self, folder: Path, left_out: Collection[str] = ()) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = SettingsProblem("--save-samples", f"{folder} cannot be created ({error}).")
            raise SettingsError([problem]) from None
        self._folder = folder
        self._disguise = Disguise(left_out)
        self.written: set[str] = set()

    def __call__(self, exchange: Exchange) -> None:
        """Save a call and its response, unless one of the same kind was saved before."""
        path = re.sub("[0-9]+", lambda number: self._disguise.text(number[0]), exchange.path)
        body = self._body(exchange.content)
        is_empty = isinstance(body, dict) and body.get(path) == []
        kind = [path, *sorted(exchange.params), str(exchange.status), *["empty"] * is_empty]
        name = re.sub(r"[^A-Za-z0-9]+", "-", " ".join(kind)).strip("-") + ".json"
        if name in self.written:
            return
        self.written.add(name)
        sample = {
            "path": path,
            "params": {key: self._param(key, value) for key, value in exchange.params.items()},
            "status": exchange.status,
            "headers": {
                name: exchange.headers[name] for name in HEADERS if name in exchange.headers
            },
            "body": body,
        }
        text = json.dumps(sample, indent=1, ensure_ascii=False, default=str)
        with replace_file(self._folder / name) as file:
            file.write(f"{text}\n".encode())

    def _param(self, key: str, value: str | int | tuple[int, ...]) -> Any:
        if isinstance(value, tuple):
            return [self._disguise.text(str(item)) for item in value]
        return value if key in PLAIN_PARAMS else self._disguise.text(str(value))

    def _body(self, content: bytes) -> Any:
        try:
            return self._disguise.value(parse_json(content))
        except (ValueError, RecursionError):
            return {"not JSON": self._disguise.text(content[:MAX_TEXT].decode("utf-8", "replace"))}
