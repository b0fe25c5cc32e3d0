"""Copy one simulated account with each tool, and print the cost and the result."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory

from acsync.datasets import DATASETS, DatasetName
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from tests.benchmarks.account_server import AccountServer, account_server
from tests.benchmarks.compare.account import add_lists
from tests.benchmarks.compare.copy_check import check_records, check_values
from tests.benchmarks.compare.measured_run import Run, run
from tests.benchmarks.compare.postgres import Postgres, running_postgres
from tests.benchmarks.compare.table import NOTHING, Result, make_table
from tests.benchmarks.compare.tools import TOOLS, Site, Tool
from tests.benchmarks.report import FOLDER

CALLS_PER_SECOND = 10.0
LATENCY_SECONDS = 0.1
MAX_DELETED = 50  # of each dataset, before the second copy
CHANGES_PER_SECOND = 20.0


def main() -> None:
    """Compare the tools, and print and save the table; fail if acsync's copy is not exact."""
    keys = [tool.key for tool in TOOLS]
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=5_000)
    parser.add_argument("--deals", type=int, default=4_000)
    parser.add_argument("--only", nargs="+", default=keys, choices=keys)
    arguments = parser.parse_args()
    options = AccountOptions(
        contacts=arguments.contacts,
        deals=arguments.deals,
        rate_limit=CALLS_PER_SECOND,
        latency_seconds=LATENCY_SECONDS,
        camel_case_values=True,  # as in the lists of values
    )
    with (
        TemporaryDirectory(prefix="acsync-") as folder,
        running_postgres(Path(folder) / "data") as postgres,
    ):
        bench = Bench(options, postgres, Path(folder))
        results = [bench.measure(tool) for tool in TOOLS if tool.key in arguments.only]
    table = make_table(results, options)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "compare.md").write_text(table)
    sys.stdout.write(table)
    if not all(result.is_exact for result in results if result.tool.key.startswith("acsync")):
        sys.exit("The copy of acsync is not exact.")


@dataclass(frozen=True)
class Bench:
    """The account's options, the Postgres, and a folder for all files."""

    options: AccountOptions
    postgres: Postgres
    folder: Path

    def measure(self, tool: Tool) -> Result:
        """Measure a tool; if it cannot copy NUL, measure it again on an account without NUL."""
        sys.stderr.write(f"{tool.title}\n")
        try:
            result = self._measure(tool, has_nul=True)
            if result.failure == NOTHING:
                return result
            without = self._measure(tool, has_nul=False)
        except CalledProcessError as error:
            reason = str(error.stderr or error).strip().splitlines()[-1]
            return Result(tool, f"cannot be set up: {reason}")
        if without.failure != NOTHING:
            return result
        return replace(without, nul=f"end the copy ({result.failure}); the figures are without")

    def _measure(self, tool: Tool, *, has_nul: bool) -> Result:
        """Copy twice into one database, and once into another while the account changes."""
        with self._prepared(tool, has_nul) as (server, copy):
            first, calls = copy(), server.take_calls()
            if first.status:
                return Result(tool, first.last_error, first, calls=calls)
            account = Account(self.options)
            checks = {
                name: check_records(self.postgres.rows(sql), account, name)
                for name, sql in tool.records.items()
            }
            values = (
                check_values(self.postgres.rows(tool.values), account) if tool.values else "none"
            )
            # At most a tenth, because acsync refuses to publish a copy that shrinks by a fifth.
            deleted = {
                name: {*server.act("delete", name, min(MAX_DELETED, check.expected // 10))}
                for name, check in checks.items()
            }
            second = copy()
            left = sum(len(ids & {*self._ids(tool, name)}) for name, ids in deleted.items())
        still_there = f"{left} of {sum(map(len, deleted.values()))}"
        lost = self._measure_losses(tool, has_nul)
        return Result(tool, NOTHING, first, second, calls, checks, values, still_there, lost)

    def _measure_losses(self, tool: Tool, has_nul: bool) -> str:
        """Copy while the account changes, and count the records that are missing."""
        with self._prepared(tool, has_nul) as (server, copy):
            mark = server.act("mark")
            with server.churn(CHANGES_PER_SECOND):
                copied = copy()
            if copied.status:
                return f"failed: {copied.last_error}"
            lost = doubled = total = 0
            for name in DATASETS:
                ids, untouched = self._ids(tool, name), server.act("untouched_since", name, mark)
                lost += len(untouched - {*ids})
                doubled += len(ids) - len({*ids})
                total += len(untouched)
        return f"{lost:,} of {total:,}" + (f", {doubled:,} doubled" if doubled else "")

    @contextmanager
    def _prepared(
        self, tool: Tool, has_nul: bool
    ) -> "Iterator[tuple[AccountServer, partial[Run]]]":
        """Serve a new account, set the tool up, and yield the function that copies."""
        self.postgres.recreate()
        with (
            TemporaryDirectory(dir=self.folder) as folder,
            account_server(self.options, partial(add_lists, has_nul=has_nul)) as server,
        ):
            key, database_url = self.options.api_key, self.postgres.url
            site = Site(server.url, key, CALLS_PER_SECOND, database_url, Path(folder))
            with tool.prepare(site) as program:
                server.take_calls()
                yield server, partial(run, program.command, program.environment, Path(folder))

    def _ids(self, tool: Tool, dataset: DatasetName) -> list[int]:
        return [int(row[0]) for row in self.postgres.rows(tool.records[dataset])]


if __name__ == "__main__":
    main()
