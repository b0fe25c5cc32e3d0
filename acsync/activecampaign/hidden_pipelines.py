"""Name the pipelines that the user of the key cannot see."""

from collections.abc import Sequence

from acsync.activecampaign.client import Client, Params
from acsync.activecampaign.page import record_id
from acsync.datasets import Record

PATH = "dealGroup/get_inaccessible_deal_groups"


def read_hidden_pipelines(client: Client, user: Record, deals: Sequence[int]) -> list[str]:
    """Return the titles of the pipelines that a user cannot see; the call needs ids of deals.

    Source: https://developers.activecampaign.com/reference
    """
    params: Params = {"dealIds[]": tuple(deals), "userId": record_id(user)}
    rows = client.get_page(PATH, params, attempts=1).rows
    return [str(row.get("title") or row.get("id")) for row in rows]
