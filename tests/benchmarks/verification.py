"""Verify a full-size copy: its cost, no false alarm under churn, and every tampered record found.

Run it with `make verification`; it takes twelve minutes. One command keeps the real rate limit. The
runs under churn have a higher one, so that they end: they are judged as `acsync verify` judges,
with a second look after the next full sync. The syncs run without Prefect.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta

import migrations
from acsync.datasets import DATASETS, DatasetName, Record, is_masked, parse_record
from acsync.enrich.encoding import encode
from acsync.local.embedded_postgres import with_database_url
from acsync.settings import read_database_settings, read_settings
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database, open_database, run
from acsync.store.snapshot import published_ids
from acsync.sync.account_reader import AccountReader, open_reader
from acsync.sync.spot_check import SpotCheck, check_sample, decide
from tests.benchmarks.account_server import AccountServer, account_server
from tests.benchmarks.environment import own_environment
from tests.benchmarks.full_sync import say
from tests.benchmarks.report import FOLDER, markdown_table
from tests.support.commands import ACSYNC

FAST = 1_000.0  # calls per second of the runs that are not timed
CHANGES_PER_SECOND = 20.0

SYNC = """
import sys
from acsync.local.embedded_postgres import with_database_url
from acsync.settings import read_settings
from tests.support.syncs import run_sync
sys.exit(not run_sync(with_database_url(read_settings())).success)
"""

# The keys that are edited in the copy.
EDITED: dict[DatasetName, str] = {"contacts": "phone", "deals": "title"}


@dataclass(frozen=True)
class Timed:
    """The cost of one `acsync verify` with the real rate limit."""

    calls: int
    seconds: float


def main() -> None:
    """Measure; fail if a true record is called wrong, or a wrong one true."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=82_000)
    parser.add_argument("--deals", type=int, default=75_000)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--runs", type=int, default=50, help="verifications under churn")
    parser.add_argument("--syncs", type=int, default=2, help="full syncs during these runs")
    parser.add_argument("--tampered", type=int, default=20)
    arguments = parser.parse_args()
    options = AccountOptions(
        contacts=arguments.contacts,
        deals=arguments.deals,
        rate_limit=None,
        latency_seconds=0.01,
        orphan_share=0.01,
    )
    with served(options) as (server, database):
        wait_for(start_sync())
        say(f"the first sync is done; load {os.getloadavg()[0]:.1f}")
        timed = time_command(server, arguments.sample)
        with open_reader(read_settings(), database) as reader:
            with server.churn(CHANGES_PER_SECOND):
                verdicts, alarms = verify_under_churn(reader, arguments)
            wait_for(start_sync())
            found = sum(
                find_tampered(reader, name, arguments.sample, arguments.tampered // 2)
                for name in DATASETS
            )
    row = {
        "": f"{arguments.contacts + arguments.deals:,} records",
        "`acsync verify` at 10 calls per second": f"{timed.calls} calls, {timed.seconds:.0f} s",
        f"runs under {CHANGES_PER_SECOND:g} changes per second": f"{arguments.runs}",
        "records verified in them": f"{verdicts.total():,}",
        "their verdicts": ", ".join(f"{count:,} {name}" for name, count in verdicts.items()),
        "true records called wrong": f"{alarms}",
        "tampered records found": f"{found} of {arguments.tampered}",
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "verification.md").write_text(markdown_table([row]))
    say(f"\n{markdown_table([row])}\nWritten to {FOLDER}/verification.md")
    if alarms or found != arguments.tampered:
        sys.exit("A verdict was wrong.")


@contextmanager
def served(options: AccountOptions) -> Iterator[tuple[AccountServer, Database]]:
    """Yield an account server and a migrated, empty database."""
    with (
        account_server(options) as server,
        own_environment(server.url, options.api_key, FAST),
        closing(open_database(with_database_url(read_database_settings()))) as database,
    ):
        os.environ["ACSYNC_MAX_DURATION"] = "2h"
        migrations.upgrade(database)
        yield server, database


def start_sync() -> subprocess.Popen[bytes]:
    """Start a full sync in another process."""
    return subprocess.Popen([sys.executable, "-c", SYNC])


def wait_for(sync: subprocess.Popen[bytes]) -> None:
    """Wait for a sync; exit if it fails."""
    if sync.wait():
        sys.exit("The sync failed.")


def time_command(server: AccountServer, sample: int) -> Timed:
    """Run `acsync verify` with the real rate limit."""
    server.take_calls()
    began = time.monotonic()
    command = [*ACSYNC, "verify", "--no-wait", f"--sample={sample}"]
    subprocess.run(command, check=True, env=os.environ | {"AC_RATE_LIMIT": "10"})
    return Timed(len(server.take_calls()), time.monotonic() - began)


def verify_under_churn(
    reader: AccountReader, arguments: argparse.Namespace
) -> tuple[Counter[str], int]:
    """Return the verdicts of all runs, and how many true records were called wrong.

    Runs during one sync are settled after the next one.
    """
    verdicts, alarms, pending = Counter[str](), 0, list[SpotCheck]()
    for number in range(arguments.syncs + 1):
        with syncing():
            runs = arguments.runs // arguments.syncs if number < arguments.syncs else 0
            checks = [*verify(reader, arguments.sample, runs)]
        decide(reader, pending, lambda _: None, patience=timedelta())
        for check in pending:
            verdicts.update(count_verdicts(check))
            alarms += len(check.fields_of("different"))
            for record_id, fields in check.fields_of("different").items():
                say(f"FALSE ALARM: {check.name} {record_id}: {', '.join(fields)}")
        pending = checks
        say(f"after sync {number + 1}: {dict(verdicts)}; load {os.getloadavg()[0]:.1f}")
    return verdicts, alarms


@contextmanager
def syncing() -> Iterator[None]:
    """Run a full sync beside the block, and wait for its end."""
    sync = start_sync()
    yield
    wait_for(sync)


def verify(reader: AccountReader, sample: int, runs: int) -> Iterator[SpotCheck]:
    """Verify both datasets some times."""
    for _ in range(runs):
        for name in DATASETS:
            if check := check_sample(reader, name, sample):
                yield check


def count_verdicts(check: SpotCheck) -> Mapping[str, int]:
    """Return the number of records by their verdict."""
    return {name: count for name, count in asdict(check.counts).items() if name != "sampled"}


def find_tampered(reader: AccountReader, name: DatasetName, sample: int, tampered: int) -> int:
    """Edit records that will be sampled, and return how many of them are called different.

    Every other one gets a hash that fits its new body.
    """
    random.seed(name)
    ids = published_ids(reader.database, name)
    chosen = random.sample(ids, min(sample, len(ids)))
    edited = edit(reader.database, name, chosen, tampered)
    random.seed(name)
    check = check_sample(reader, name, sample)
    different = set(check.fields_of("different")) if check else set()
    if different != set(edited):
        say(f"{name}: edited {sorted(edited)}, called different {sorted(different)}")
    return len(different & set(edited))


def edit(database: Database, name: DatasetName, ids: Sequence[int], count: int) -> list[int]:
    """Edit one value in this many published records, and return their ids."""
    edited: list[int] = []
    for record_id in ids:
        record = _read(database, name, record_id)
        if len(edited) < count and not is_masked(record):
            record[EDITED[name]] = "edited"
            _write(database, name, record_id, record, with_hash=len(edited) % 2 == 0)
            edited.append(record_id)
    return edited


def _read(database: Database, name: DatasetName, record_id: int) -> Record:
    sql = "select record::text from {versions} where valid_to is null and record_id = :id"
    with database.begin() as connection:
        return parse_record(run(connection, sql, name, id=record_id).scalar_one())


def _write(
    database: Database, name: DatasetName, record_id: int, record: Record, with_hash: bool
) -> None:
    sql = """
        update {versions} set record = cast(:body as jsonb), hash = coalesce(:hash, hash)
        where valid_to is null and record_id = :id
    """
    encoded = encode(record)
    with database.begin() as connection:
        body, changed_hash = encoded.body.decode(), encoded.hash if with_hash else None
        run(connection, sql, name, id=record_id, body=body, hash=changed_hash)


if __name__ == "__main__":
    main()
