"""Copy one simulated account with each tool, and print what that cost and what it left."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory

from acsync.models import DATASETS, DatasetName
from acsync.simulator.account import Account, AccountOptions
from tests.benchmarks.account_server import AccountServer, account_server
from tests.benchmarks.compare.account import add_lists
from tests.benchmarks.compare.copy_check import Check, check_records, matching_values
from tests.benchmarks.compare.measured_run import Run, run
from tests.benchmarks.compare.postgres import Postgres, running_postgres
from tests.benchmarks.compare.table import Losses, Result, make_table
from tests.benchmarks.compare.tools import TOOLS, Program, Site, Tool
from tests.benchmarks.report import FOLDER

MOST_DELETED = 50  # of each dataset, before the second copy into the same database
CHURN_PER_SECOND = 20.0
DATABASE = "compared"


def main() -> None:
    """Compare, print and keep the table; fail where acsync's own copy is not exact."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=5_000)
    parser.add_argument("--deals", type=int, default=4_000)
    parser.add_argument("--rate", type=float, default=10.0, help="AC_RATE_LIMIT, for acsync")
    parser.add_argument("--limit", type=float, default=10.0, help="what the account allows")
    parser.add_argument("--latency", type=float, default=0.1)
    keys = [tool.key for tool in TOOLS]
    parser.add_argument("--only", default=",".join(keys), help="some of the tools")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    if unknown := {*only} - {*keys}:
        parser.error(f"--only knows {', '.join(keys)}, not {', '.join(unknown)}")
    chosen = [tool for tool in TOOLS if tool.key in only]
    options = AccountOptions(
        contacts=arguments.contacts,
        deals=arguments.deals,
        rate_limit=arguments.limit,
        latency_seconds=arguments.latency,
        camel_case_values=True,  # as the values' own collection spells them
    )
    with (
        TemporaryDirectory(prefix="acsync-") as folder,
        running_postgres(Path(folder) / "data") as postgres,
    ):
        bench = Bench(options, arguments.rate, postgres, Path(folder))
        results = [bench.measure(tool) for tool in chosen]
    table = make_table(results, options)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "compare.md").write_text(table)
    sys.stdout.write(table)
    if not all(result.exact for result in results if result.tool.key.startswith("acsync")):
        sys.exit("The copy of acsync is not exact.")


@dataclass
class Bench:
    """The account's options, `AC_RATE_LIMIT`, the Postgres, and a folder for all files."""

    options: AccountOptions
    rate: float
    postgres: Postgres
    folder: Path

    def measure(self, tool: Tool) -> Result:
        """Copy the account; where that fails, one whose texts have no NUL."""
        sys.stderr.write(f"{tool.title}\n")
        try:
            result = self._measure(tool, has_nul=True)
            if result.failure:
                without = self._measure(tool, has_nul=False)
                nul = f"end the copy ({result.failure}): the figures are without"
                result = result if without.failure else replace(without, nul=nul)
        except CalledProcessError as error:
            said = str(error.stderr or error).strip().splitlines()[-1]
            return Result(tool, f"cannot be set up: {said}")
        return result

    def _measure(self, tool: Tool, *, has_nul: bool) -> Result:
        """Copy twice into one database, and once into another while the account changes."""
        with self._ready(tool, has_nul) as (server, program, log):
            first = self._run(program, log)
            calls = server.take_calls()
            if first.status:
                return Result(tool, first.last_words, first, calls)
            checks, values = self._check(tool)
            # At most a tenth: acsync publishes no copy that has lost a fifth of its records.
            gone = {
                name: {*server.act("delete", name, min(MOST_DELETED, check.expected // 10))}
                for name, check in checks.items()
            }
            again = self._run(program, log)
            left = sum(len(gone[name] & {*self._ids(tool, name)}) for name in DATASETS)
        deleted, losses = f"{left} of {sum(map(len, gone.values()))}", self._churn(tool, has_nul)
        return Result(tool, None, first, calls, checks, values, again, deleted, losses)

    def _churn(self, tool: Tool, has_nul: bool) -> Losses:
        with self._ready(tool, has_nul) as (server, program, log):
            mark = server.act("mark")
            with server.churn(CHURN_PER_SECOND):
                done = self._run(program, log)
            if done.status:
                return Losses(failure=done.last_words)
            lost: dict[DatasetName, int] = {}
            doubled = throughout = 0
            for name in DATASETS:
                ids, untouched = self._ids(tool, name), server.act("untouched_since", name, mark)
                lost[name] = len(untouched - {*ids})
                doubled += len(ids) - len({*ids})
                throughout += len(untouched)
        return Losses(lost, doubled, throughout)

    @contextmanager
    def _ready(self, tool: Tool, has_nul: bool) -> Iterator[tuple[AccountServer, Program, Path]]:
        """Serve a new account, and set the tool up with an empty database and folder."""
        with (
            TemporaryDirectory(dir=self.folder) as folder,
            account_server(self.options, partial(add_lists, has_nul=has_nul)) as server,
        ):
            url, key, log = server.url, self.options.api_key, Path(folder) / "log"
            site = Site(url, key, self.rate, self.postgres.create(DATABASE), Path(folder))
            with tool.ready(site) as program:
                server.take_calls()
                yield server, program, log

    def _run(self, program: Program, log: Path) -> Run:
        return run(program.command, program.environment, log.parent, log)

    def _check(self, tool: Tool) -> tuple[dict[DatasetName, Check], tuple[int, int] | None]:
        account = Account(self.options)
        queries: dict[DatasetName, str] = {"contacts": tool.contacts, "deals": tool.deals}
        checks = {
            name: check_records(self.postgres.rows(DATABASE, sql), account, name)
            for name, sql in queries.items()
        }
        if tool.values is None:
            return checks, None
        return checks, matching_values(self.postgres.rows(DATABASE, tool.values), account)

    def _ids(self, tool: Tool, dataset: DatasetName) -> list[int]:
        sql = tool.contacts if dataset == "contacts" else tool.deals
        return [int(row[0]) for row in self.postgres.rows(DATABASE, sql)]


if __name__ == "__main__":
    main()
