"""Describe an invented account: its size, and how its API treats callers."""

from dataclasses import dataclass, field
from typing import Literal

from acsync.simulator.activities import Order
from acsync.simulator.id_store import Part
from acsync.simulator.requests import RateWindow


@dataclass(frozen=True)
class AccountOptions:
    """Counts of records, fields, stages and users, and how the API treats its callers.

    `rate_limit` is the number of calls per second (None: no limit). `rate_window` counts them in
    any sliding second or in each second of the clock. A 429 asks callers to wait for
    `retry_after_seconds`. Calls arrive up to `arrival_jitter_seconds` late. `camel_case_values`
    serves custom field values of deals in the API's other spelling. `masked_share` is the share of
    deals that are stubs, and `orphan_share` that of records that name a value of a deleted field.
    Activities of deals come in `activity_order`, whatever order is requested.

    `date_filter` is how `filters[updated_after]` of contacts works: to the second, by days alone,
    or without regard to the offset of the time (`local`). Changes of the `undated` parts alone do
    not move the date of a record. The account's clock, which dates records and answers, is
    `clock_offset_seconds` ahead.

    Parameters that an account ignores or refuses are faults.
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
    masked_share: float = 0.005
    orphan_share: float = 0.0
    date_filter: Literal["times", "days", "local"] = "times"
    undated: tuple[Part, ...] = ()
    clock_offset_seconds: float = 0.0
    activity_order: Order = "ascending"
