"""Describe an invented account: its size, and how its API treats callers."""

from dataclasses import dataclass, field
from typing import Literal

from acsync.simulator.activities import Order
from acsync.simulator.id_store import Part
from acsync.simulator.records import CURRENCIES
from acsync.simulator.requests import RateWindow


@dataclass(frozen=True)
class AccountOptions:
    """Counts of records, fields, stages and users, and how the API treats its callers.

    `rate_limit` is the number of calls per second (None: no limit). `rate_window` counts them in
    any sliding second or in each second of the clock. A 429 asks callers to wait for
    `retry_after_seconds`. Calls arrive up to `arrival_jitter_seconds` late. `camel_case_values`
    serves custom field values of deals in the API's other spelling. Without `has_crm`, deals are
    refused, and without `is_admin` the settings. `masked_share` is the share of deals that are
    stubs. `relations` decides if tags and lists can be included. `orphan_share` is the share of
    records that name a value of a deleted field. With `omits_empty_relations`, records without
    values have no key for them. Activities of deals come in `activity_order`, whatever order is
    requested.

    `date_filter` is how `filters[updated_after]` of contacts works: to the second, by days alone,
    without regard to the offset of the time (`local`), ignored or refused. `date_order` is how
    `orders[mdate]` of deals works. Changes of the `undated` parts alone do not move the date of a
    record. The account's clock, which dates records and answers, is `clock_offset_seconds` ahead.
    Pages do not show the changes of the last `replica_lag_seconds`. `currencies` are those of
    deals.
    """

    contacts: int = 2500
    deals: int = 1200
    seed: int = 1
    api_key: str = field(default="simulated-key", repr=False)
    contact_fields: int = 8
    deal_fields: int = 8
    stages: int = 12
    users: int = 6
    tags: int = 12
    lists: int = 4
    values_per_record: int = 8
    rate_limit: float | None = 10
    rate_window: RateWindow = "sliding"
    arrival_jitter_seconds: float = 0.0
    retry_after_seconds: int | None = 1
    latency_seconds: float = 0.0
    page_cap: int = 100
    camel_case_values: bool = False
    has_crm: bool = True
    is_admin: bool = True
    masked_share: float = 0.005
    relations: Literal["served", "ignored", "refused", "forbidden"] = "served"
    orphan_share: float = 0.0
    omits_empty_relations: bool = False
    date_filter: Literal["times", "days", "local", "ignored", "refused"] = "times"
    date_order: Literal["times", "days", "ignored"] = "times"
    undated: tuple[Part, ...] = ()
    clock_offset_seconds: float = 0.0
    replica_lag_seconds: float = 0.0
    activities: Literal["served", "unfiltered", "refused", "missing"] = "served"
    activity_order: Order = "ascending"
    currencies: tuple[str, ...] = CURRENCIES
