"""Read single facts about the account, each in a call or two."""

from collections.abc import Sequence

from acsync.activecampaign.client import Client, Params
from acsync.activecampaign.page import record_id
from acsync.datasets import Dataset, Record
from acsync.errors import PaginationError

HIDDEN_PIPELINES = "dealGroup/get_inaccessible_deal_groups"
SETTINGS, SUBSCRIBERS = "settings/account", "subscriber_total"

# Rows to read on either side of the end of a collection.
AROUND_END = 10


def measure_total(client: Client, dataset: Dataset, total: int) -> int:
    """Return how many more records the total counts than there are ids, up to ten either way.

    Records come and go between two calls, so a difference counts if it is seen twice.
    """
    return _measure(client, dataset, total) and _measure(client, dataset, total)


def _measure(client: Client, dataset: Dataset, total: int) -> int:
    """Read the rows around the end that the total names."""
    offset = max(total - AROUND_END, 0)
    params: Params = {"limit": 2 * AROUND_END, "offset": offset, "orders[id]": "ASC"}
    page = client.get_page(dataset.path, params)
    return (total if page.total is None else page.total) - offset - len(page.ids)


def read_hidden_pipelines(client: Client, user: Record, deals: Sequence[int]) -> list[str]:
    """Return the titles of the pipelines that a user cannot see; the call needs ids of deals.

    Source: https://developers.activecampaign.com/reference
    """
    params: Params = {"dealIds[]": tuple(deals), "userId": record_id(user)}
    rows = client.get_page(HIDDEN_PIPELINES, params, attempts=1).rows
    return [str(row.get("title") or row.get("id")) for row in rows]


def read_subscriber_total(client: Client) -> int:
    """Return how many contacts the account counts for its plan.

    Raises AccessDenied if the key has no right to read it, as only the keys of admins have, and
    AccountError for another answer.
    """
    (settings,) = client.get_page(SETTINGS, {}, attempts=1).rows
    # The documentation does not show the answer.
    rows: list[Record] = [settings, *(row for row in settings.values() if isinstance(row, dict))]
    total = next((str(row[SUBSCRIBERS]) for row in rows if SUBSCRIBERS in row), "")
    if not total.isascii() or not total.isdigit():
        raise PaginationError(f"/{SETTINGS} has no count in {SUBSCRIBERS}.")
    return int(total)
