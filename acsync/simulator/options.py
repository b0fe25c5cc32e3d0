"""Say what an invented account is like, before it exists."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AccountOptions:
    """Counts of records, fields, stages and users, and how the API treats its callers.

    `rate_limit` is calls in any sliding second (None: no limit), `retry_after_seconds` what a
    429 asks for (None: says nothing), `masked_share` the share of deals that are stubs.
    `camel_case_values` serves the custom field values of deals in the other spelling in use.
    """

    contacts: int = 2500
    deals: int = 1200
    seed: int = 1
    api_key: str = field(default="simulated-key", repr=False)
    contact_fields: int = 8
    deal_fields: int = 8
    stages: int = 12
    users: int = 6
    values_per_record: int = 8
    rate_limit: float | None = 10
    retry_after_seconds: int | None = 1
    latency_seconds: float = 0.0
    page_cap: int = 100
    camel_case_values: bool = False
    masked_share: float = 0.005
