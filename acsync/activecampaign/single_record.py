"""Ask for one record by its id."""

from acsync.activecampaign.pagination import Walk, WalkPage
from acsync.activecampaign.responses import (
    NOT_PUBLISHED,
    find_missing_values,
    join_includes,
    record_id,
    require_landed,
)
from acsync.errors import NotFound, PaginationError
from acsync.models import Interval


def read_single(walk: Walk, wanted_id: int) -> WalkPage | None:
    """Return one record as a page that covers its id, or None if the account has no such record.

    Named values that do not come along are values of deleted fields: one record is never cut off.
    Raises AccountError if ActiveCampaign does not say whether the record exists.
    """
    path = f"{walk.dataset.path}/{wanted_id}"
    include = {"include": join_includes(walk.dataset, walk.relations)}
    try:
        page = walk.client.get_page(path, include)
    except NotFound:
        return None
    ids = tuple(map(record_id, page.rows))
    if ids != (wanted_id,):
        raise PaginationError(f"/{path} sent the ids {list(ids[:3])}.", NOT_PUBLISHED)
    find_missing_values(walk.dataset, page, walk.relations)
    require_landed(walk.dataset, page, walk.relations)
    return walk.make_page(page, ids, Interval(wanted_id, wanted_id))
