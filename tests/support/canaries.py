"""Put a canary into every kind of field, and search every place where acsync leaves something."""

import base64
import subprocess
import zipfile
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx
from prefect.settings import PREFECT_HOME
from sqlalchemy import make_url

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.enrich.custom_fields import COLUMN_OF_TYPE
from acsync.enrich.redaction import NAMELESS_TYPES
from acsync.local.postgres_programs import programs
from acsync.simulator.account import Account
from acsync.simulator.requests import Call
from acsync.store.database import Database
from tests.support import faults

# The content of what was searched, by the name of its place.
Places: TypeAlias = dict[str, bytes]

SINGULAR: dict[DatasetName, str] = {"contacts": "contact", "deals": "deal"}

CONTACT: Record = {
    "email": "canary-email@person.example",
    "firstName": "canary-first",
    "lastName": "canary-last",
    "phone": "+99 0155 447 1238",
    "orgname": "canary-company",
    "ip": "2930418857",
    "ua": "canary-browser",
}
DEAL: Record = {"title": "canary-title", "description": "canary-description"}
REASON, TAG, LIST = "canary-reason", "canary-tag", "canary-list"

# Values of types that are no text; no other value looks like them.
TYPED: dict[DatasetName, dict[str, str]] = {
    "contacts": {"date": "1887-03-19", "datetime": "1887-04-23", "number": "604173298851"},
    "deals": {
        "date": "1888-03-19",
        "datetime": "1888-04-23",
        "number": "730418866219",
        "currency": "815523377042",
    },
}


@dataclass(frozen=True)
class Field:
    """A custom field of the account, and the canary that is its value."""

    id: str
    type: str
    canary: str


@dataclass(frozen=True)
class Canaries:
    """The canaries of one contact and of the deals that name it."""

    contact: int
    deals: frozenset[int]
    fields: Mapping[DatasetName, Sequence[Field]]

    @property
    def values(self) -> set[str]:
        """Return every canary."""
        fields = {field.canary for name in DATASETS for field in self.fields[name]}
        return {*CONTACT.values(), *DEAL.values(), REASON, TAG, LIST, *fields}

    @property
    def of_person(self) -> set[str]:
        """Return those that `acsync forget` removes."""
        of_deals = {field.canary for field in self.fields["deals"] if field.type in NAMELESS_TYPES}
        return self.values - of_deals - {TAG, LIST}

    def plant(self, call: Call, body: Record) -> None:
        """Write the canaries into an answer."""
        for tag in body.get("tags", ()):
            tag["tag"] = f"{TAG}-{tag['id']}"
        for membership in body.get("contactLists", ()):
            if membership["contact"] == str(self.contact):
                membership["unsubreason"] = REASON
        self._plant_records("contacts", CONTACT, {self.contact}, call, body)
        self._plant_records("deals", DEAL, self.deals, call, body)

    def _plant_records(
        self, name: DatasetName, texts: Record, ids: Container[int], call: Call, body: Record
    ) -> None:
        path = DATASETS[name].path
        if call.path.partition("/")[0] != path:
            return
        rows = body[path] if path in body else [body[SINGULAR[name]]]
        for row in rows:
            if int(row["id"]) in ids:
                is_stub = row.get("isDisabled") is True
                row.update({"title": texts["title"]} if is_stub else texts)
                if not is_stub:
                    self._plant_values(name, row, body)

    def _plant_values(self, name: DatasetName, row: Record, body: Record) -> None:
        """Give the record one value of each custom field."""
        key = DATASETS[name].sideload
        values = {f"{90_000 + int(row['id'])}{field.id:0>3}": field for field in self.fields[name]}
        row[key] = list(values)
        body[key] = [value for value in body.get(key, ()) if _owner(value) != row["id"]]
        body[key] += [_value(name, row["id"], *value) for value in values.items()]


def _owner(value: Record) -> str:
    return str(value.get("contact") or value.get("deal"))


def _value(name: DatasetName, record_id: str, value_id: str, field: Field) -> Record:
    if name == "contacts":
        row = {"id": value_id, "contact": record_id, "owner": record_id, "field": field.id}
        return row | {"value": field.canary, "cdate": None, "udate": None}
    row = {"id": value_id, "deal_id": record_id, "deal": record_id, "custom_field_id": field.id}
    return row | {COLUMN_OF_TYPE.get(field.type, "custom_field_text_value"): field.canary}


def plant(account: Account) -> Canaries:
    """Serve the account with canaries from now on: in one contact, its deals, tags and lists."""
    named = {deal: account.record("deals", deal)[0].get("contact") for deal in account.ids("deals")}
    contact = next(each for each in account.ids("contacts") if str(each) in named.values())
    canaries = Canaries(
        contact,
        frozenset(deal for deal, name in named.items() if name == str(contact)),
        {
            "contacts": _fields(account, "contacts", "type"),
            "deals": _fields(account, "deals", "fieldType"),
        },
    )
    for row in account.metadata.listings["lists"]:
        row["name"] = f"{LIST}-{row['id']}"
    account.faults.add(faults.body_fault("canaries", canaries.plant))
    return canaries


def _fields(account: Account, name: DatasetName, type_key: str) -> list[Field]:
    rows = account.metadata.listings["contact_fields" if name == "contacts" else "deal_fields"]
    return [
        Field(
            str(row["id"]),
            row[type_key],
            TYPED[name].get(row[type_key], f"canary-{SINGULAR[name]}-{int(row['id']):03}"),
        )
        for row in rows
    ]


# Places

# The first page of a WAL file has a header of 40 bytes, other pages have 24.
WAL_PAGE, LONG_HEADER = 8192, 2


def database_places(database: Database) -> Places:
    """Return a dump of the whole database, and the planner's samples of its values."""
    url = make_url(database.engine.url)
    connection = [f"--host={url.query['host']}", f"--username={url.username}"]
    dump = subprocess.run(
        [programs() / "pg_dump", *connection, f"--dbname={url.database}"],
        capture_output=True,
        check=True,
    ).stdout
    with database.begin() as opened:
        rows = opened.exec_driver_sql("select pg_stats::text from pg_stats").scalars().all()
    return {"pg_dump": dump, "pg_stats": "\n".join(rows).encode()}


def prefect_places() -> Places:
    """Return Prefect's files: its SQLite database with the WAL, logs, stored results."""
    files = [file for file in PREFECT_HOME.value().rglob("*") if file.is_file()]
    assert {"prefect.db", "prefect.db-wal"} <= {file.name for file in files}
    return {f"Prefect's {file.name}": file.read_bytes() for file in files}


def web_places(client: httpx.Client) -> Places:
    """Return every page of the service, with its metrics."""
    pages = ("/", "/queries", "/data", "/metrics", "/api/sync-status", "/healthz", "/badge.svg")
    return {page: client.get(page).content for page in pages}


def file_places(folder: Path) -> Places:
    """Return the files of a folder by name, and the parts of those that are archives."""
    places: Places = {}
    for file in (file for file in folder.rglob("*") if file.is_file()):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                parts = archive.namelist()
                places |= {f"{file.name}: {part}": archive.read(part) for part in parts}
        else:
            places[file.name] = file.read_bytes()
    return places


def rewrite(database: Database) -> None:
    """Let Postgres rewrite every table, so that its files hold no deleted rows."""
    with database.alone() as connection:
        connection.exec_driver_sql("vacuum full")


def data_places(database: Database, data_dir: Path) -> Places:
    """Return the data files of this database in Postgres's folder, without the server's WAL."""
    with database.alone() as connection:
        connection.exec_driver_sql("checkpoint")
        sql = "select oid from pg_database where datname = current_database()"
        oid = connection.exec_driver_sql(sql).scalar_one()
    folder = data_dir / "postgres" / "base" / str(oid)
    return {f"data file {name}": content for name, content in file_places(folder).items()}


def forbid_compression(database: Database) -> None:
    """Let Postgres keep large values as they are and in one piece, so that a search finds them."""
    alter = """
        select format('alter table %s set (toast_tuple_target = 8160)', oid::regclass)
        from pg_class where relkind = 'r' and starts_with(relname, 'ac_')
        union all
        select format('alter table %s alter %I set storage external', attrelid::regclass, attname)
        from pg_attribute join pg_class on pg_class.oid = attrelid
        where relkind = 'r' and starts_with(relname, 'ac_') and attstorage in ('x', 'm')
          and not attisdropped
    """
    with database.alone() as connection:
        for statement in connection.exec_driver_sql(alter.replace("%", "%%")).scalars().all():
            connection.exec_driver_sql(statement)


def wal_places(data_dir: Path) -> Places:
    """Return the WAL of Postgres's folder without page headers, which can split a value."""
    files = sorted((data_dir / "postgres" / "pg_wal").glob("0*"))
    wal = b"".join(file.read_bytes() for file in files)
    pages = (wal[start : start + WAL_PAGE] for start in range(0, len(wal), WAL_PAGE))
    return {"WAL": b"".join(page[40 if page[2] & LONG_HEADER else 24 :] for page in pages)}


def search(places: Places, needles: Iterable[str]) -> dict[str, list[str]]:
    """Return the needles that a place contains, as they are or in base64, by the place's name."""
    forms = {needle: _forms(needle.encode()) for needle in sorted(needles)}
    hits_of = {
        place: [needle for needle, texts in forms.items() if any(text in content for text in texts)]
        for place, content in places.items()
    }
    return {place: hits for place, hits in hits_of.items() if hits}


def _forms(needle: bytes) -> list[bytes]:
    """Return a text and the middle of its base64 at each of the three alignments."""
    encoded = [base64.b64encode(b"\0" * shift + needle)[4:-4] for shift in range(3)]
    return [needle, *(text for text in encoded if len(text) >= 8)]
