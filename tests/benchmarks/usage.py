"""Measure the resources that are in use after a sync, in this process and in Postgres."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psutil

from acsync.store.database import Database, run

WARM_UP = 10  # syncs until caches, pools and the kept history are full
# Memory grows a little with each of the first sixty syncs. Anything above this is a leak.
MAX_GROWTH = 1.2

SQL = """
    select (select count(*) from pg_stat_activity where datname = current_database()),
           (select count(*) from {schema}.ac_staged_slices)
         + (select count(*) from {schema}.ac_staged_contacts),
           (select count(*) from pg_class where relkind in ('r', 'i', 't')),
           (select count(*) from {schema}.ac_contact_versions)
         + (select count(*) from {schema}.ac_deal_versions)
"""


@dataclass(frozen=True)
class Usage:
    """Resources in use after a sync."""

    memory_mb: int
    open_files: int
    threads: int
    connections: int
    staging_rows: int
    tables: int
    versions: int


def measure_usage(database: Database) -> Usage:
    """Measure this process and Postgres."""
    process = psutil.Process()
    with database.begin() as connection:
        counts = run(connection, SQL).one()
    memory_mb = round(process.memory_info().rss / 1e6)
    return Usage(memory_mb, process.num_fds(), process.num_threads(), *counts)


def describe_growth(usages: Sequence[Usage]) -> list[str]:
    """Compare the last ten syncs with the ten after the warm-up, and describe what grew."""
    early, late = usages[WARM_UP : 2 * WARM_UP], usages[-WARM_UP:]
    growth = []
    for name in asdict(usages[0]):
        before = max(getattr(usage, name) for usage in early)
        after = max(getattr(usage, name) for usage in late)
        if after > before * MAX_GROWTH:
            growth.append(f"{name} grew from {before} to {after}")
    return growth
