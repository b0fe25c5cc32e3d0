"""Export metrics to Prometheus; each scrape reads the log, the lease and the snapshot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from acsync.datasets import DatasetName
from acsync.store.sync_history import SyncRecord, Totals
from acsync.store.sync_status import PublishedDataset, RunningSync
from acsync.store.verification import Verifications

# Metric, meaning, and the field of PublishedDataset.
TIMES = (
    ("last_success", "When the last full sync read its oldest record", "proven_from"),
    ("read_from", "Changes before this time are published", "read_from"),
    ("verified", "When the last full sync started", "verified_at"),
)

# A metric's values by the values of its labels.
Values: TypeAlias = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Scrape:
    """The data of one scrape; `datasets` are copied, and `published` has those that ever were.

    `latest` is the last finished full sync.
    """

    account: str
    datasets: Sequence[DatasetName]
    published: Mapping[DatasetName, PublishedDataset]
    latest: SyncRecord | None
    running: RunningSync | None
    totals: Totals
    interval: timedelta
    verifications: Verifications


class SyncCollector(Collector):
    """Calls `read` once per scrape; counters are sums over the log, so they never fall."""

    def __init__(self, read: Callable[[], Scrape]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; raises what `read` raises."""
        scrape = self._read()
        account, totals = scrape.account, scrape.totals
        yield from _of_datasets(scrape)
        yield from _of_last_sync(account, scrape.latest)
        yield _counter(
            "syncs", "Finished syncs.", "outcome", account,
            {"success": totals.succeeded, "failure": totals.failed},
        )  # fmt: skip
        changes = CounterMetricFamily(
            "acsync_changes", "Records that syncs changed.", labels=["account", "dataset", "change"]
        )
        for (dataset, change), records in totals.changes.items():
            changes.add_metric([account, dataset, change], records)
        yield changes
        for name, title, value in (
            ("api_calls", "Calls to ActiveCampaign, retries included.", totals.calls),
            ("api_retries", "Calls that were repeated.", totals.retries),
            ("api_refusals", "Calls refused as too many.", totals.refused),
        ):
            yield _counter(name, title, None, account, {"": value})
        yield from _of_running(scrape)
        interval = scrape.interval.total_seconds()
        yield _gauge(
            "interval_seconds", "The interval of full syncs.", {(account,): interval}, ["account"]
        )
        yield from _of_verifications(scrape)
        yield _gauge("build_info", "The version.", {(version("acsync"),): 1}, ["version"])


def make_registry(read: Callable[[], Scrape]) -> CollectorRegistry:
    """Return a registry without the library's own metrics of the process."""
    # Without auto_describe, since the database may be down when it is registered.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SyncCollector(read))
    return registry


def _of_datasets(scrape: Scrape) -> Iterator[Metric]:
    published = scrape.published.items()
    never: Values = {(scrape.account, name): 0 for name in scrape.datasets}
    for metric, title, field in TIMES:
        times = {
            (scrape.account, name): getattr(data, field).timestamp() for name, data in published
        }
        yield _gauge(
            f"{metric}_timestamp_seconds",
            f"{title}; 0 if nothing was published.",
            never | times,
            ["account", "dataset"],
        )
    yield _gauge(
        "records",
        "Records of the published snapshot.",
        {(scrape.account, name): data.record_count for name, data in published},
        ["account", "dataset"],
    )


def _of_last_sync(account: str, latest: SyncRecord | None) -> Iterator[Metric]:
    success: Values = {(account,): float(bool(latest.success))} if latest else {}
    yield _gauge(
        "last_sync_success", "1 if the last finished sync was complete.", success, ["account"]
    )
    duration_ms = latest.duration_ms if latest else None
    seconds: Values = {} if duration_ms is None else {(account,): duration_ms / 1000}
    title = "Seconds of the last finished sync."
    yield _gauge("last_sync_duration_seconds", title, seconds, ["account"])


def _of_running(scrape: Scrape) -> Iterator[Metric]:
    running = scrape.running
    yield _gauge(
        "running",
        "1 while a sync is running.",
        {(scrape.account,): int(running is not None)},
        ["account"],
    )
    progress: Values = {
        (scrape.account, name): records / expected
        for name, records, expected in (running.progress if running else ())
    }
    labels = ["account", "dataset"]
    yield _gauge(
        "progress_ratio",
        "Share of the expected records that are read.",
        progress,
        labels,
    )


def _of_verifications(scrape: Scrape) -> Iterator[Metric]:
    last = scrape.verifications.items()
    yield _gauge(
        "verify_timestamp_seconds",
        "When random records were last compared with the account.",
        {(scrape.account, name): each.verified_at.timestamp() for name, each in last},
        ["account", "dataset"],
    )
    yield _gauge(
        "verify_records",
        "Records that the last verification compared.",
        {(scrape.account, name): each.counts.sampled for name, each in last},
        ["account", "dataset"],
    )
    yield _gauge(
        "verify_different",
        "Records of which the last verification found the copy to be wrong.",
        {(scrape.account, name): each.counts.different for name, each in last},
        ["account", "dataset"],
    )


def _gauge(name: str, title: str, values: Values, labels: list[str]) -> Metric:
    metric = GaugeMetricFamily(f"acsync_{name}", title, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric


def _counter(
    name: str, title: str, label: str | None, account: str, values: dict[str, int]
) -> Metric:
    labels = ["account", label] if label else ["account"]
    metric = CounterMetricFamily(f"acsync_{name}", title, labels=labels)
    for key, value in values.items():
        metric.add_metric([account, key] if label else [account], value)
    return metric
