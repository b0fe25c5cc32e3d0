"""Show one record: the copy, its history, and what the account says of it now."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer
from rich.table import Table

from acsync.cli.options import AccountName, console, database_of
from acsync.datasets import NOT_CONTENT, DatasetName, Record
from acsync.errors import AcsyncError, sanitize
from acsync.settings import ACCOUNT, DATABASE, Settings

if TYPE_CHECKING:
    from acsync.store.database import Database
    from acsync.store.record_history import RecordHistory

Kind: TypeAlias = Literal["contact", "deal"]

NAMES: dict[Kind, DatasetName] = {"contact": "contacts", "deal": "deals"}

# Keys with a row of their own name further down, or with ids of rows only.
NOT_SHOWN = frozenset(("customFields", "tags", "lists", "pipelineData", "stageData", "ownerData"))


@dataclass(frozen=True)
class Live:
    """The record as a sync would store it now, and the fields in which the copy differs."""

    record: Record | None
    differences: tuple[str, ...] = ()


def show(
    kind: Annotated[Kind, typer.Argument(metavar="contact|deal")],
    record_id: Annotated[int, typer.Argument(metavar="ID", min=1)],
    live: Annotated[bool, typer.Option("--live", help="Ask the account as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    account: AccountName = None,
) -> None:
    """Show the copy of one record and its history."""
    settings = database_of(account, DATABASE + ACCOUNT if live else DATABASE)
    name = NAMES[kind]
    from acsync.store.database import open_database, require_current_schema
    from acsync.store.record_history import read_history

    with closing(open_database(settings)) as database:
        require_current_schema(database)
        history = read_history(database, name, record_id)
        is_asked = live and not history.is_forgotten
        now = _read_live(settings, database, name, record_id, history) if is_asked else None
    title = f"{kind.capitalize()} {record_id}"
    if not history.is_known and not (now and now.record):
        raise _unknown(kind, record_id, live)
    if as_json:
        sys.stdout.buffer.write(_as_json(name, record_id, history, now) + b"\n")
        return
    console.print(_sentence(title, history, now), soft_wrap=True)
    if history.record or (now and now.record):
        console.print(_fields(name, history.record, now))
    for table in _history(history):
        console.print(table)


def _unknown(kind: Kind, record_id: int, live: bool) -> AcsyncError:
    where = "neither the copy nor the account has" if live else "no sync has ever seen"
    hint = "." if live else f", or run: acsync show {kind} {record_id} --live"
    return AcsyncError(
        f"{kind.capitalize()} {record_id}: {where} such a {kind}.", f"Check the id{hint}"
    )


def _read_live(
    settings: Settings,
    database: "Database",
    name: DatasetName,
    record_id: int,
    history: "RecordHistory",
) -> Live:
    from acsync.store.schema_owner import require_account
    from acsync.sync.account_reader import compare_single, enrich_single, open_reader

    require_account(database, settings.account_name)
    with open_reader(settings, database) as reader:
        page = reader.read(name, record_id)
        if page is None:
            return Live(None, ("the whole record",) if history.record else ())
        names = reader.read_names(name)
    record = enrich_single(page, names, history.record)
    if history.record is None:
        return Live(record, ("the whole record",))
    fields = compare_single(name, page, names, record, history.record, history.relations)
    return Live(record, tuple(sorted(fields)))


def _sentence(title: str, history: "RecordHistory", now: Live | None) -> str:
    """Say whether the copy has the record, and with --live whether the account has."""
    if history.is_forgotten:
        return f"{title} is forgotten: acsync forget removed it, and no sync copies it."
    if history.record:
        text = f"{title} is in the copy."
    elif history.deleted_at:
        text = f"{title} was deleted: the sync of {_time(history.deleted_at)} did not find it."
    else:
        text = f"{title} is not in the copy."
    if now is None:
        return text
    if now.record is None:
        return f"{text} The account does not have it now."
    if not history.record:
        return f"{text} The account has it now; the next full sync copies it."
    if not now.differences:
        return f"{text} The account says the same."
    return sanitize(f"{text} The account differs in: {', '.join(now.differences)}.")


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _fields(name: DatasetName, copy: Record | None, now: Live | None) -> Table:
    """Show the filled fields, with --live both sides and a mark at those that differ.

    Counters of emails differ all the time, so they get no mark.
    """
    from acsync.enrich.content import reduce_value

    table = _table("field", "copy")
    if now is None:
        for field, value in flatten(copy or {}).items():
            table.add_row(sanitize(field), _text(value))
        return table
    table.add_column("account now", overflow="fold")
    table.add_column("")
    before, after = flatten(copy or {}), flatten(now.record or {})
    for field in dict.fromkeys([*before, *after]):
        was, value = before.get(field), after.get(field)
        is_content = field not in NOT_CONTENT[name]
        differs = is_content and reduce_value(field, was) != reduce_value(field, value)
        table.add_row(sanitize(field), _text(was), _text(value), "≠" if differs else "")
    return table


def _table(*headers: str, title: str | None = None) -> Table:
    """Return a table that cuts off no text on a narrow terminal."""
    table = Table(title=title)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def flatten(record: Record) -> dict[str, Any]:
    """Return the filled fields of a record by the names that people know."""
    fields = {
        key: value
        for key, value in sorted(record.items())
        if key not in NOT_SHOWN and not isinstance(value, list | dict)
    }
    for key, label in (("pipelineData", "title"), ("stageData", "title"), ("ownerData", "email")):
        fields[key.removesuffix("Data")] = (record.get(key) or {}).get(label)
    fields["tags"] = ", ".join(map(str, record.get("tags") or ()))
    for membership in record.get("lists") or ():
        fields[f"list {membership.get('name') or membership.get('id')}"] = membership.get("status")
    for key, entry in (record.get("customFields") or {}).items():
        title = entry.get("fieldTitle") or entry.get("fieldLabel") or key
        name = f"“{title}”" if f"“{title}”" not in fields else f"“{title}” ({key})"
        fields[name] = _with_currency(entry)
    return {field: value for field, value in fields.items() if value not in (None, "")}


def _with_currency(entry: Mapping[str, Any]) -> Any:
    value, currency = entry.get("value"), entry.get("currency")
    return f"{value} {currency}" if value not in (None, "") and currency else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return sanitize(f"{value:f}" if isinstance(value, Decimal) else str(value))


def _history(history: "RecordHistory") -> Iterator[Table]:
    if history.changes:
        table = _table("when", "change", "sync", title="Changes, newest first")
        for change in history.changes:
            table.add_row(_time(change.changed_at), change.change, change.sync_id)
        yield table
    if history.fields:
        table = _table("when", "field", "was", "became", title="Changed fields, newest first")
        for field in history.fields:
            cells = sanitize(field.field), _text(field.was), _text(field.became)
            table.add_row(_time(field.changed_at), *cells)
        yield table
    if history.stays:
        header = ("entered", "left", "because", "pipeline", "stage", "status")
        table = _table(*header, title="Stages, newest first")
        for stay in history.stays:
            entered = "before the copy" if stay.is_baseline else _time(stay.entered_at)
            left = _time(stay.left_at) if stay.left_at else ""
            names = (stay.left_because, stay.pipeline, stay.stage, stay.status)
            table.add_row(entered, left, *map(_text, names))
        yield table


def _as_json(
    name: DatasetName, record_id: int, history: "RecordHistory", now: Live | None
) -> bytes:
    import orjson

    from acsync.enrich.encoding import encode

    def raw(record: Record | None) -> "orjson.Fragment | None":
        """Return a record with every digit of its numbers."""
        return None if record is None else orjson.Fragment(encode(record).body)

    return orjson.dumps(
        {
            "dataset": name,
            "id": record_id,
            "record": raw(history.record),
            "deletedAt": history.deleted_at,
            "isForgotten": history.is_forgotten,
            "changes": [asdict(change) for change in history.changes],
            "fieldChanges": [asdict(change) for change in history.fields],
            "stages": [asdict(stay) for stay in history.stays],
            "live": now and {"record": raw(now.record), "differences": now.differences},
        },
        option=orjson.OPT_INDENT_2,
    )
