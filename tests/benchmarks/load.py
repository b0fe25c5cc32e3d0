"""Request the status from the service 200 times per second while syncs run.

Run it with `make load`. It prints the latencies, and the times of syncs with and without load.
"""

import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import migrations
from acsync.local.embedded_postgres import with_database_url
from acsync.settings import read_database_settings
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database, open_database
from acsync.store.sync_history import read_recent_syncs
from tests.benchmarks.account_server import account_server
from tests.benchmarks.environment import own_environment
from tests.support.commands import ACSYNC, served
from tests.support.prefect_server import prefect_server

RECORDS = 7_500  # of each dataset
REQUESTS_PER_SECOND = 200
SECONDS = 60
CLIENTS = 8
SYNCS = 4  # before the load starts
MAX_P99_MS, MAX_RATIO = 50.0, 1.05


class Load:
    """Threads that send requests on kept connections, each at its share of the rate."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests until the block ends."""
        threads = [threading.Thread(target=self._request) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _request(self) -> None:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port)
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            # A request that leaves late is timed from its due moment, as its user would.
            connection.request("GET", "/api/sync-status")
            answer = connection.getresponse()
            answer.read()
            self.seconds.append(time.monotonic() - due)
            if answer.status != 200:
                self.failures.append(str(answer.status))
            due += CLIENTS / REQUESTS_PER_SECOND


def main() -> None:
    """Measure; fail if an answer failed or was late, or if the syncs became slower."""
    options = AccountOptions(contacts=RECORDS, deals=RECORDS, latency_seconds=0.1)
    with (
        account_server(options) as server,
        own_environment(server.url, options.api_key, options.rate_limit or 10.0) as home,
        prefect_server(home) as os.environ["PREFECT_API_URL"],
    ):
        database = open_database(with_database_url(read_database_settings()))
        migrations.upgrade(database)
        with served() as (client, _):
            sync(database)  # the first one adds everything
            alone = statistics.median(sync(database) for _ in range(SYNCS))
            load = Load(str(client.base_url))
            with load.running():
                until, loaded = time.monotonic() + SECONDS, []
                while time.monotonic() < until:
                    loaded.append(sync(database))
        database.close()
    report(load, alone, statistics.median(loaded))


def sync(database: Database) -> float:
    """Run one sync as a process, and return the seconds that its log names."""
    if subprocess.run([*ACSYNC, "sync"], stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit("A sync failed.")
    return (read_recent_syncs(database)[0].duration_ms or 0) / 1000


def report(load: Load, alone: float, loaded: float) -> None:
    """Print the figures, and fail if one of them is too high."""
    latencies = [seconds * 1000 for seconds in load.seconds]
    cuts = statistics.quantiles(latencies, n=100)
    sys.stdout.write(
        f"{len(latencies):,} requests, failures {load.failures}; milliseconds: p50 {cuts[49]:.1f}, "
        f"p99 {cuts[98]:.1f}, max {max(latencies):.1f}; seconds per sync: {alone:.2f} alone, "
        f"{loaded:.2f} under load, ratio {loaded / alone:.3f}\n"
    )
    if load.failures or cuts[98] > MAX_P99_MS or loaded / alone > MAX_RATIO:
        sys.exit(
            f"Allowed are no failures, a p99 of {MAX_P99_MS:g} ms, and a ratio of {MAX_RATIO:g}."
        )


if __name__ == "__main__":
    main()
