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

# A metric's values by the values of its labels. A missing value has no sample.
Values: TypeAlias = Mapping[tuple[str, ...], float | None]

# Name, meaning, labels after `account`, and values.
Entry: TypeAlias = tuple[str, str, tuple[str, ...], Values]

OF_DATASET = ("dataset",)


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
        gauges = [*_of_datasets(scrape), *_of_syncs(scrape), *_of_verifications(scrape)]
        for kind, entries in (
            (GaugeMetricFamily, gauges),
            (CounterMetricFamily, _counters(scrape.totals)),
        ):
            for name, title, labels, values in entries:
                metric = kind(f"acsync_{name}", title, labels=["account", *labels])
                for key, value in values.items():
                    if value is not None:
                        metric.add_metric([scrape.account, *key], value)
                yield metric
        build = GaugeMetricFamily("acsync_build_info", "The version.", labels=["version"])
        build.add_metric([version("acsync")], 1)
        yield build


def make_registry(read: Callable[[], Scrape]) -> CollectorRegistry:
    """Return a registry without the library's own metrics of the process."""
    # Without auto_describe, since the database may be down when it is registered.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SyncCollector(read))
    return registry


def _of_datasets(scrape: Scrape) -> list[Entry]:
    published = {(name,): data for name, data in scrape.published.items()}
    never: dict[tuple[str, ...], float] = {(name,): 0.0 for name in scrape.datasets}
    return [
        (
            "last_success_timestamp_seconds",
            "When the last full sync read its oldest record; 0 if nothing was published.",
            OF_DATASET,
            never | {key: data.proven_from.timestamp() for key, data in published.items()},
        ),
        (
            "read_from_timestamp_seconds",
            "Changes before this time are published; 0 if nothing was published.",
            OF_DATASET,
            never | {key: data.read_from.timestamp() for key, data in published.items()},
        ),
        (
            "verified_timestamp_seconds",
            "When the last full sync started; 0 if nothing was published.",
            OF_DATASET,
            never | {key: data.verified_at.timestamp() for key, data in published.items()},
        ),
        (
            "records",
            "Records of the published snapshot.",
            OF_DATASET,
            {key: data.record_count for key, data in published.items()},
        ),
    ]


def _of_syncs(scrape: Scrape) -> list[Entry]:
    running, latest = scrape.running, scrape.latest
    duration_ms = latest.duration_ms if latest else None
    return [
        (
            "last_sync_success",
            "1 if the last finished sync was complete.",
            (),
            {(): latest.success if latest else None},
        ),
        (
            "last_sync_duration_seconds",
            "Seconds of the last finished sync.",
            (),
            {(): None if duration_ms is None else duration_ms / 1000},
        ),
        ("running", "1 while a sync is running.", (), {(): running is not None}),
        (
            "progress_ratio",
            "Share of the expected records that are read.",
            OF_DATASET,
            {
                (name,): records / expected
                for name, records, expected in (running.progress if running else ())
            },
        ),
        (
            "interval_seconds",
            "The interval of full syncs.",
            (),
            {(): scrape.interval.total_seconds()},
        ),
    ]


def _of_verifications(scrape: Scrape) -> list[Entry]:
    verified = {(name,): last for name, last in scrape.verifications.items()}
    return [
        (
            "verify_timestamp_seconds",
            "When random records were last compared with the account.",
            OF_DATASET,
            {key: last.verified_at.timestamp() for key, last in verified.items()},
        ),
        (
            "verify_records",
            "Records that the last verification compared.",
            OF_DATASET,
            {key: last.counts.sampled for key, last in verified.items()},
        ),
        (
            "verify_different",
            "Records of which the last verification found the copy to be wrong.",
            OF_DATASET,
            {key: last.counts.different for key, last in verified.items()},
        ),
    ]


def _counters(totals: Totals) -> list[Entry]:
    changes: Values = {(*key,): records for key, records in totals.changes.items()}
    return [
        (
            "syncs",
            "Finished syncs.",
            ("outcome",),
            {("success",): totals.succeeded, ("failure",): totals.failed},
        ),
        ("changes", "Records that syncs changed.", ("dataset", "change"), changes),
        ("api_calls", "Calls to ActiveCampaign, retries included.", (), {(): totals.calls}),
        ("api_retries", "Calls that were repeated.", (), {(): totals.retries}),
        ("api_refusals", "Calls refused as too many.", (), {(): totals.refused}),
    ]
