"""dbt builds the project of `acsync dbt`, and follows the copy from sync to sync.

dbt is no dependency of acsync, so it is installed into an environment for this drill.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from acsync.datasets import DATASETS
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from tests.support.commands import acsync
from tests.support.documents import code_blocks
from tests.support.fixtures import CopyAccount
from tests.support.postgres import execute
from tests.support.syncs import changes_of, fetch

# dbt-core 1.12 downloads a program while it is installed.
PACKAGES = ["dbt-core==1.11.16", "dbt-postgres==1.11.0"]

READER = "\n".join(code_blocks("postgresql")).partition("-- Only for roles")[0]

# Runs dbt in the folder of the project.
Dbt: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]

ODD = AccountOptions(
    contacts=700, deals=600, contact_fields=14, deal_fields=14, masked_share=0.05,
    orphan_share=0.02, rate_limit=None,
)  # fmt: skip
BARE = AccountOptions(
    contacts=20, deals=0, contact_fields=0, deal_fields=0, tags=0, lists=0, rate_limit=None
)
HOSTILE = '{{ 1/0 }} {% raw %} "quoted" – it\'s\n# ünïcode'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install dbt; skip the drills if pip cannot."""
    folder = tmp_path_factory.mktemp("dbt")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [str(folder / "bin" / "pip"), "install", "--quiet", *PACKAGES]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"It needs {' and '.join(PACKAGES)}, but: {done.stderr.splitlines()[-1:]}")
    return folder / "bin" / "dbt"


@pytest.fixture
def options() -> AccountOptions:
    """Use masked deals, unlisted stages, values of deleted fields, and a field of each type."""
    return ODD


@pytest.fixture
def dbt(program: Path, tmp_path: Path, database: Database) -> Iterator[Dbt]:
    """Return a function that runs dbt in the folder of the project, as the documented reader."""
    url = database.engine.url
    execute(database, f"{READER}; grant create on database {url.database} to acsync_reader")
    environment = {
        **os.environ,
        "PGHOST": str(url.query["host"]),
        "PGUSER": "acsync_reader",
        "PGDATABASE": str(url.database),
    }

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(program), "--no-use-colors", *arguments]
        return subprocess.run(
            command, cwd=tmp_path / "project", env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    yield run
    for role in ("acsync_sync", "acsync_reader"):
        execute(database, f"drop owned by {role} cascade; drop role {role}")


def build(dbt: Dbt, folder: Path, snapshots: bool) -> dict[str, int]:
    """Write the project and build everything without complaints; return dbt's summary."""
    written = acsync("dbt", str(folder / "project"))
    assert written.returncode == 0, written.stderr
    built = dbt("build", *(["--vars", "acsync_snapshots: true"] if snapshots else []))
    assert built.returncode == 0, built.stdout
    assert "Deprecat" not in built.stdout
    assert "doesn't match derived column" not in built.stdout
    summary = built.stdout.splitlines()[-1]
    print(summary)  # noqa: T201  # with `pytest -s`
    return {name: int(count) for name, count in re.findall(r"([A-Z]+)=(\d+)", summary)}


# All rows, those that ended, and the records whose current row is not that of the copy.
SNAPSHOT = """
    select (select count(*) from analytics.acsync__{name}_snapshot),
           (select count(dbt_valid_to) from analytics.acsync__{name}_snapshot),
           (select count(*) from (
                (select {key}, changed_at from ac_{name} except
                 select {key}, changed_at from analytics.acsync__{name}_snapshot
                 where dbt_valid_to is null)
                union all
                (select {key}, changed_at from analytics.acsync__{name}_snapshot
                 where dbt_valid_to is null except select {key}, changed_at from ac_{name})
           ) as differing)
"""
CHANGES = "select sync_id, changed_at, data_type, record_id, change from {} order by 1, 3, 4"


def test_models_follow_the_copy_from_sync_to_sync(
    dbt: Dbt, account: Account, copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """Every test passes or warns; the snapshots and the incremental model get the changes alone."""
    listings = account.metadata.listings
    listings["contact_fields"][1]["title"] = HOSTILE
    assert copy_account().success
    first = build(dbt, tmp_path, snapshots=True)
    assert dbt("source", "freshness").returncode == 0

    for name in DATASETS:
        account.change(name, 80)
        account.delete(name, 7)
        account.add(name, 5)
    account.mask(account.ids("deals")[:3])
    account.delete("contacts", account.ids("contacts")[:1])
    listings["lists"][0]["name"] = "A renamed list"
    listings["contact_fields"][0]["title"] = "A renamed field"
    account.metadata.delete("pipelines", listings["pipelines"][0]["id"])
    assert copy_account(accept_shrink=True).success
    second = build(dbt, tmp_path, snapshots=True)

    assert first["ERROR"] == second["ERROR"] == 0
    assert second["PASS"] >= 45
    for dataset, (added, updated, deleted) in changes_of(database).items():
        count = getattr(ODD, dataset)
        sql = SNAPSHOT.format(name=dataset, key=f"{dataset[:-1]}_id")
        assert added + updated + deleted < 200
        assert fetch(database, sql) == [(count + added + updated, updated + deleted, 0)]
    changes = fetch(database, CHANGES.format("ac_changes"))
    assert fetch(database, CHANGES.format("analytics.acsync__changes")) == changes

    fetch(database, "update ac_published set read_from = read_from - interval '1 hour'")
    stale = dbt("source", "freshness")
    assert stale.returncode == 1
    assert "ERROR STALE" in stale.stdout


@pytest.mark.parametrize("options", [BARE])
def test_an_account_without_deals_and_fields_is_built(
    dbt: Dbt, copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """Nothing warns or is stale. Snapshots, which outlive deleted contacts, are not the default."""
    assert copy_account().success

    summary = build(dbt, tmp_path, snapshots=False)

    assert (summary["WARN"], summary["ERROR"]) == (0, 0)
    snapshots = "select count(*) from pg_tables where tablename like '%snapshot'"
    assert fetch(database, snapshots) == [(0,)]
    assert dbt("source", "freshness").returncode == 0
