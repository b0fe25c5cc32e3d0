"""Compare the total of a collection with its ids, in one or two calls."""

from acsync.activecampaign.client import Client, Params
from acsync.datasets import Dataset

# Rows to read on either side of the end.
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
