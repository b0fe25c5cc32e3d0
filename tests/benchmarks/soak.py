"""Sync a changing account 96 times in forty minutes, with a disturbance every few syncs.

Run it with `make soak`; for a short run: `make soak ARGUMENTS="--minutes 10"`. A publication for
all tables exists from the start. The sync after each disturbance is compared with the account, as
is the last. At the end nothing has grown, and no dataset was published more than two minutes and
an interval after a sync was due, except those that Postgres refused.

All syncs except that of the frozen worker run in one process, so that leaks show.
"""

import argparse
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import migrations
from acsync.datasets import DATASETS, DatasetName
from acsync.errors import StoreError
from acsync.local.embedded_postgres import with_database_url
from acsync.settings import read_database_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database, run
from tests.benchmarks.disturbances import (
    Disturbance,
    RestartablePrefect,
    backup,
    list_disturbances,
)
from tests.benchmarks.environment import own_environment
from tests.benchmarks.usage import WARM_UP, Usage, describe_growth, measure_usage
from tests.support.calls import Churn
from tests.support.commands import wait_for
from tests.support.syncs import compare_copy

MINUTES = 40
INTERVAL_SECONDS = 25
MAX_LATE_SECONDS = INTERVAL_SECONDS + 120
CALLS_PER_SECOND = 10
CHANGES_PER_SECOND = 20
RETRY_SECONDS = 2
BACKUP_EVERY = 8
PUBLICATION = "publication"


@dataclass(frozen=True)
class Soak:
    """An account, its copy, and the disturbances by round."""

    account: Account
    database: Database
    data_dir: Path
    schedule: Mapping[int, Disturbance]
    longest: dict[DatasetName, float] = field(default_factory=lambda: dict.fromkeys(DATASETS, 0.0))

    def run_round(self, number: int) -> Usage:
        """Sync once, with the disturbance of this round, and return the resources in use.

        The account does not change in the first round and after a disturbance. The copy is then
        compared with it.
        """
        began = time.monotonic()
        disturbance = self.schedule.get(number)
        is_calm = disturbance is None and (number == 1 or number - 1 in self.schedule)
        with ExitStack() as stack:
            if not is_calm:
                stack.enter_context(Churn(self.account, CHANGES_PER_SECOND, seed=number))
            tries = self._disturbed_sync(number, disturbance, began)
            seconds, usage = time.monotonic() - began, measure_usage(self.database)
            name = disturbance.name if disturbance else "calm" if is_calm else ""
            say(f"{number}: {seconds:.1f} s, tries: {tries}, {asdict(usage)} {name}")
            if is_calm:
                self.require_exact()
                require(tries == 1, "The first sync without a disturbance failed.")
            time.sleep(max(0.0, began + INTERVAL_SECONDS - time.monotonic()))
        return usage

    def require_exact(self) -> None:
        """Compare the copy with the account, which nobody changes."""
        comparisons = compare_copy(self.database, self.account)
        is_exact = all(comparison.exact for comparison in comparisons.values())
        require(is_exact, f"The copy is not exact: {comparisons}")

    def _disturbed_sync(self, number: int, disturbance: Disturbance | None, due: float) -> int:
        """Return how many syncs it took until everything that can be published was."""
        refused = disturbance.refused if disturbance else None
        with ExitStack() as stack:
            if disturbance:
                stack.enter_context(disturbance.start())
            elif number % BACKUP_EVERY == 0:
                stack.enter_context(backup(self.data_dir))
            return self._sync_until_published({*DATASETS} - {refused}, due)

    def _sync_until_published(self, expected: Collection[DatasetName], due: float) -> int:
        """Sync until these datasets are published; stop the soak if they are late for too long."""
        left, tries = {*expected}, 0
        while left:
            if tries:
                time.sleep(RETRY_SECONDS)
            before = self._newest_syncs()
            sync()
            tries += 1
            wait_for("Postgres", self._is_up)
            late = time.monotonic() - due
            self.longest.update({name: max(self.longest[name], late) for name in left})
            require(late < MAX_LATE_SECONDS, f"The {left} were not published for {late:.0f} s.")
            after = self._newest_syncs()
            published = {name for name in DATASETS if after.get(name) != before.get(name)}
            require(published <= {*expected}, "Postgres accepted what it should refuse.")
            left -= published
        return tries

    def _is_up(self) -> bool:
        try:
            self._newest_syncs()
        except StoreError:
            return False
        return True

    def _newest_syncs(self) -> dict[DatasetName, str]:
        with self.database.begin() as connection:
            rows = run(connection, "select data_type, sync_id from {schema}.ac_freshness")
            return {row.data_type: row.sync_id for row in rows}


def main() -> None:
    """Run the soak; exit with a message if it fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--without", nargs="+", default=[], metavar="DISTURBANCE")
    arguments = parser.parse_args()
    rounds = round(arguments.minutes * 60 / INTERVAL_SECONDS)
    with started(rounds, arguments.without) as soak:
        usages = [soak.run_round(number) for number in range(1, rounds + 1)]
        require(sync(), "The last sync failed.")
        soak.require_exact()
        longest = {name: round(seconds) for name, seconds in soak.longest.items()}
    say(f"exact; most seconds from the time a sync was due to its publication: {longest}")
    if rounds < 3 * WARM_UP:
        say(f"{rounds} syncs are too few to see whether anything grows.")
    else:
        growth = describe_growth(usages)
        require(not growth, "; ".join(growth))


@contextmanager
def started(rounds: int, without: Sequence[str]) -> Iterator[Soak]:
    """Start the account, Prefect and Postgres, and stop them when the block ends."""
    account = Account(AccountOptions(contacts=2_000, deals=2_000, rate_limit=CALLS_PER_SECOND))
    with (
        serve(account) as url,
        own_environment(url, account.options.api_key, CALLS_PER_SECOND) as home,
        ExitStack() as stack,
    ):
        prefect = RestartablePrefect(home)
        stack.callback(prefect.stop)
        settings = with_database_url(read_database_settings())
        database = open_database(settings)
        stack.callback(database.close)
        disturbances = list_disturbances(account, database, settings.data_dir, prefect)
        unknown = {*without} - {PUBLICATION, *(disturbance.name for disturbance in disturbances)}
        require(not unknown, f"unknown disturbances: {', '.join(unknown)}")
        chosen = [disturbance for disturbance in disturbances if disturbance.name not in without]
        schedule = make_schedule(rounds, chosen)
        os.environ["PREFECT_API_URL"] = prefect.start()
        # During the two minutes of a frozen worker, a quarter of this small account is deleted.
        os.environ["ACSYNC_MAX_SHRINK"] = "0.5"
        # A sync that is too slow ends, so that the soak notices.
        os.environ["ACSYNC_MAX_DURATION"] = f"{MAX_LATE_SECONDS}s"
        if PUBLICATION not in without:
            with database.begin() as connection:
                run(connection, "create publication soak for all tables")
        migrations.upgrade(database)
        yield Soak(account, database, settings.data_dir, schedule)


def make_schedule(rounds: int, disturbances: Sequence[Disturbance]) -> dict[int, Disturbance]:
    """Spread the disturbances over the rounds, with a calm round after each.

    A quarter of the other rounds come before the first disturbance and after the last one, so
    that growth shows.
    """
    spare = rounds - 1 - sum(disturbance.rounds + 1 for disturbance in disturbances)
    require(spare >= 0, f"{rounds} syncs are too few for all disturbances.")
    edge = spare // 4
    gap = (spare - 2 * edge) // max(1, len(disturbances) - 1)
    schedule: dict[int, Disturbance] = {}
    number = 2 + edge
    for disturbance in disturbances:
        schedule |= dict.fromkeys(range(number, number + disturbance.rounds), disturbance)
        number += disturbance.rounds + 1 + gap
    return schedule


def sync() -> bool:
    """Run the flow in this process; return whether it copied everything."""
    from flows.sync_activecampaign import sync_activecampaign  # noqa: PLC0415  # after the settings

    try:
        state = sync_activecampaign(return_state=True)
    except Exception as error:  # noqa: BLE001  # Prefect's server may be down
        say(f"   {type(error).__name__}: {error}")
        return False
    if state.name != "Completed":
        say(f"   {state.name}: {(state.message or '').splitlines()[0]}")
    return bool(state.name == "Completed")


def require(condition: bool, message: str) -> None:
    """Stop the soak with this message if the condition is not met."""
    if not condition:
        sys.exit(message)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
