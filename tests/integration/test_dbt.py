"""`acsync dbt` writes a project that fits the account. The drill runs dbt itself."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

import migrations
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount
from tests.support.postgres import Postgres, execute
from tests.support.syncs import fetch

SCHEMA = "crm"
HOSTILE = '{{ 1/0 }} <<x>> <% y %> "quoted" – it\'s\nodd: # ünïcode'

ODD = AccountOptions(
    contacts=120, deals=90, contact_fields=14, deal_fields=14, masked_share=0.1, rate_limit=None
)
BARE = AccountOptions(
    contacts=20, deals=0, contact_fields=0, deal_fields=0, tags=0, lists=0, rate_limit=None
)


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with a field of each type, and with masked deals."""
    return ODD


@pytest.fixture
def crm(
    postgres: Postgres, database_url: str, served_account: Account, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """Open a migrated schema with another name, and let syncs and commands use it."""
    monkeypatch.setenv("ACSYNC_SCHEMA", SCHEMA)
    for field in served_account.metadata.listings["contact_fields"][:1]:
        field["title"] = HOSTILE
    with closing(postgres.open(database_url, SCHEMA)) as database:
        migrations.upgrade(database)
        yield database


@pytest.fixture
def folder(crm: Database, copy_account: CopyAccount, tmp_path: Path) -> Path:  # noqa: ARG001
    """Return the folder of the project, after a sync."""
    assert copy_account().success
    return write_project(tmp_path / "projects" / "crm")


def write_project(folder: Path) -> Path:
    """Run the command, which must succeed."""
    done = acsync("dbt", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def create_models(database: Database, folder: Path) -> dict[str, list[str]]:
    """Create the models as views, referenced ones first, as dbt would; return their columns."""
    columns: dict[str, list[str]] = {}
    files = {path.stem: path for path in (folder / "models").rglob("*.sql")}

    def create(name: str) -> str:
        if name not in columns:
            sql = jinja.from_string(files[name].read_text()).render()
            execute(database, f"create view {name} as {sql}")
            columns[name] = columns_of(database, name)
        return f"{SCHEMA}.{name}"

    jinja = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  # SQL
    jinja.globals |= {
        "source": lambda name, table: f"{ {'acsync': SCHEMA}[name] }.{table}",
        "ref": create,
        "var": {"acsync_time_zone": "Europe/Berlin"}.__getitem__,
        "config": lambda **_: "",
        "is_incremental": lambda: False,
    }
    for name in files:
        create(name)
    return columns


def columns_of(database: Database, relation: str) -> list[str]:
    sql = (
        "select attname from pg_attribute where attrelid = to_regclass(:relation) and attnum > 0 "
        "and not attisdropped order by attnum"
    )
    return [name for (name,) in fetch(database, sql, relation=f"{SCHEMA}.{relation}")]


def read_documented(folder: Path, kind: str) -> dict[str, list[str]]:
    """Return the documented columns of each source table or model."""
    contents = [yaml.safe_load(path.read_text()) for path in (folder / "models").rglob("*.yml")]
    relations = [relation for content in contents for relation in content.get(kind, [])]
    if kind == "sources":
        (source,) = relations
        assert source["schema"] == SCHEMA
        relations = source["tables"]
    return {row["name"]: [column["name"] for column in row["columns"]] for row in relations}


@pytest.mark.parametrize("options", [ODD, BARE], ids=["odd", "bare"])
def test_every_model_and_documented_column_exists(
    options: AccountOptions, crm: Database, folder: Path
) -> None:
    """In an account with everything in it, and in one without deals, lists, tags and fields."""
    sources = read_documented(folder, "sources")
    models = read_documented(folder, "models")

    created = create_models(crm, folder)

    assert {"ac_contacts", "ac_deals_wide", "ac_deal_stages", "ac_sync_logs"} <= sources.keys()
    assert sources == {name: columns_of(crm, name) for name in sources}
    assert models.keys() == created.keys()
    assert all({*columns} <= {*created[name]} for name, columns in models.items())
    for name, columns in created.items():
        if name.startswith("stg_"):
            assert {*models[name]} == {*columns}
    assert fetch(crm, f"select count(*) from {SCHEMA}.stg_acsync__contacts") == [
        (options.contacts,)
    ]
    assert fetch(crm, f"select count(*) from {SCHEMA}.stg_acsync__deals") == [(options.deals,)]
    wide = {*columns_of(crm, "ac_deals_wide")} - {"synced_at"}
    assert wide <= {*created["stg_acsync__deals"]}


TOTALS = f"""
    set search_path = {SCHEMA};
    select array[
        (select sum(entered) from acsync__funnel),
        (select sum(open_deals + moved + won + lost + deleted) from acsync__funnel),
        (select sum(open_deals) from acsync__funnel),
        (select sum(open_deals) from acsync__pipeline_by_month where month = (
            select max(month) from acsync__pipeline_by_month)),
        (select sum(won_deals + lost_deals) from acsync__pipeline_by_month),
        (select sum(subscribed) from acsync__list_growth),
        (select sum(unsubscribed) from acsync__list_growth),
        (select count(*) from acsync__changes)
    ]::bigint[], array[
        (select count(*) from ac_deal_stages where status = 'open'),
        (select count(*) from ac_deal_stages where status = 'open'),
        (select count(*) from ac_deals where status = 'open'),
        (select count(*) from ac_deals where status = 'open'),
        (select count(*) from ac_deals where closed_at is not null),
        (select count(subscribed_at) from ac_contact_lists),
        (select count(unsubscribed_at) from ac_contact_lists where status = 'unsubscribed'),
        (select count(*) from ac_changes)
    ]
"""


def test_the_totals_of_the_marts_are_those_of_the_copy(
    crm: Database, folder: Path, account: Account, copy_account: CopyAccount
) -> None:
    """After deals were opened, moved, closed, reopened and deleted."""
    for _ in range(2):
        account.change("deals", 40)
        account.delete("deals", 5)
        account.add("deals", 5)
        assert copy_account().success

    create_models(crm, folder)

    ((of_marts, of_copy),) = fetch(crm, TOTALS)
    assert of_marts == of_copy
    assert all(of_copy)


def test_dbt_judges_freshness_as_acsync_does(crm: Database, folder: Path) -> None:
    """Late after two intervals and stale after three, counted from the last full sync."""
    (source,) = yaml.safe_load((folder / "models/sources.yml").read_text())["sources"]
    judged = {table["name"]: table["config"] for table in source["tables"] if "config" in table}

    assert judged.keys() == {"ac_contacts", "ac_deals"}
    assert judged["ac_deals"]["freshness"] == {
        "warn_after": {"count": 30, "period": "minute"},
        "error_after": {"count": 45, "period": "minute"},
    }
    loaded_at = fetch(crm, judged["ac_deals"]["loaded_at_query"])
    expected = f"select read_from, verified_at from {SCHEMA}.ac_freshness where data_type = 'deals'"
    assert loaded_at == [(min(*fetch(crm, expected)[0]),)]


def test_a_second_run_writes_only_what_changed(
    folder: Path, account: Account, copy_account: CopyAccount
) -> None:
    """A renamed field has another description; a file of the user's is kept."""
    before = states(folder)
    write_project(folder)
    assert states(folder) == before

    funnel = folder / "models/marts/acsync__funnel.sql"
    funnel.write_text("select 1 as mine")
    (folder / "models/mine.sql").write_text("select 2 as mine")
    account.metadata.listings["deal_fields"][0]["fieldLabel"] = "Renamed – 100 %"
    assert copy_account().success
    done = acsync("dbt", str(folder))

    assert "Kept your version of models/marts/acsync__funnel.sql." in done.stdout
    assert funnel.read_text() == "select 1 as mine"
    changed = {name for name, state in states(folder).items() if state != before.get(name)}
    assert changed - {funnel.name, "mine.sql"} == {"sources.yml", "staging.yml"}
    assert "Renamed – 100 % (" in (folder / "models/staging/staging.yml").read_text()


def states(folder: Path) -> dict[str, Any]:
    """Return the content and the time of the last write of each file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.usefixtures("crm")
def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """Also another dbt project, a file, and an account that was never published."""
    other, new = tmp_path / "other", tmp_path / "new"
    other.mkdir()
    (other / "dbt_project.yml").write_text("name: analytics\n")

    refused = acsync("dbt", str(other))
    a_file = acsync("dbt", str(other / "dbt_project.yml"))
    unpublished = acsync("dbt", str(new))

    assert (refused.returncode, a_file.returncode, unpublished.returncode) == (2, 1, 1)
    assert refused.stderr == (
        f"{other} has files, but no dbt project of acsync. Name a new or an empty folder.\n"
    )
    assert "cannot be written: Not a directory. Name another folder." in a_file.stderr
    assert unpublished.stderr == "No records are published yet. Run: acsync sync\n"
    assert [path.name for path in other.iterdir()] == ["dbt_project.yml"]
    assert not new.exists()
