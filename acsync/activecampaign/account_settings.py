"""Read the account's own count of contacts, which only the keys of admins can read."""

from acsync.activecampaign.client import Client
from acsync.datasets import Record
from acsync.errors import PaginationError

PATH, TOTAL = "settings/account", "subscriber_total"


def read_subscriber_total(client: Client) -> int:
    """Return how many contacts the account counts for its plan.

    Raises AccessDenied if the key has no right to read it, and AccountError for another answer.
    """
    (settings,) = client.get_page(PATH, {}, attempts=1).rows
    # The documentation does not show the answer.
    rows: list[Record] = [settings, *(row for row in settings.values() if isinstance(row, dict))]
    total = next((str(row[TOTAL]) for row in rows if TOTAL in row), "")
    if not total.isascii() or not total.isdigit():
        raise PaginationError(f"/{PATH} has no count in {TOTAL}.")
    return int(total)
