"""Answer a call from the account as the API would: paging, orders, sideloads, envelopes."""

import re
from collections.abc import Callable

from acsync.models import DATASETS, LISTINGS, Dataset, Listing, ListingName, Record
from acsync.simulator.account import Account
from acsync.simulator.calls import Answer, Call
from acsync.simulator.population import Order, Selected, Window

SINGULAR = {"contacts": ("contact", "Subscriber"), "deals": ("deal", "Deal")}
"""Key of a single record and the class name that the API's 404 lets slip."""

LONG_DEFAULT_LIMIT = frozenset({"fields", "dealCustomFieldMeta"})
_DATASETS = {dataset.path: dataset for dataset in DATASETS.values()}
_LISTINGS = {listing.path: listing for listing in LISTINGS.values()}


def answer_call(account: Account, call: Call) -> Answer:
    """Give the answer that the API, with nothing wrong, has for this call."""
    if call.path == "users/me":
        users = account.metadata.listings["users"]
        return Answer(data={"user": users[0]}) if users else not_found("User", "me")
    if dataset := _DATASETS.get(call.path):
        return Answer(data=_dataset_page(account, call, dataset))
    if listing := _LISTINGS.get(call.path):
        return Answer(data=_listing_page(account, call, listing))
    if single := re.fullmatch(r"(contacts|deals)/([0-9]{1,18})", call.path):
        return _single(account, _DATASETS[single[1]], int(single[2]))
    return message(404, f"No route found for GET /api/3/{call.path}")


def message(status: int, text: str) -> Answer:
    """Give an error in the older endpoints' form."""
    return Answer(status, {"message": text})


def not_found(kind: str, record: str) -> Answer:
    """Give the 404 of a record."""
    return message(404, f"No Result found for {kind} with id {record}")


def _dataset_page(account: Account, call: Call, dataset: Dataset) -> Record:
    """Give a page of contacts or deals; only contacts know `id_greater` and `id_less`."""
    window = Window(
        _order(call),
        call.offset,
        call.limit(20),
        call.cursor if dataset.keyset else None,
        call.id_less if dataset.keyset else None,
    )
    selected, total = account.select(dataset.name, window, call.number)
    sideload = dataset.sideload in call.params.get("include", "").split(",")
    body = _render(account, dataset, selected, sideload)
    if dataset.keyset:
        meta = {"page_input": _page_input(window), "total": str(total), "sortable": True}
        return {"scoreValues": [], **body, "meta": meta}
    return {**body, "meta": {"currencies": _currencies(total), "total": total}}


def _order(call: Call) -> Order:
    direction = call.params.get("orders[id]", "").upper()
    if direction == "ASC":
        return "ASC"
    return "DESC" if direction == "DESC" else "default"


def _render(account: Account, dataset: Dataset, selected: list[Selected], sideload: bool) -> Record:
    rows: list[Record] = []
    sideloads: list[Record] = []
    for one in selected:
        row, values = account.render(dataset.name, one, sideload)
        rows.append(row)
        sideloads += values
    return {dataset.sideload: sideloads, dataset.path: rows} if sideload else {dataset.path: rows}


def _page_input(window: Window) -> Record:
    return {
        "segmentid": None,
        "formid": 0,
        "listid": 0,
        "tagid": 0,
        "limit": window.limit,
        "offset": window.offset,
        "search": None,
        "sort": None,
        "seriesid": 0,
        "waitid": 0,
        "status": -1,
        "forceQuery": 0,
        "cacheid": f"{window.offset:032x}",
    }


def _currencies(total: int) -> Record | list[Record]:
    """Sum up by currency; without deals this is `[]`, PHP's empty object."""
    if not total:
        return []
    sums = {"total": str(total), "value": str(total * 1234), "currency": "USD"}
    return {"USD": {**sums, "isDisabled": False}}


def _single(account: Account, dataset: Dataset, record: int) -> Answer:
    key, kind = SINGULAR[dataset.path]
    selected = account.find(dataset.name, record)
    if selected is None:
        return not_found(kind, str(record))
    row, values = account.render(dataset.name, selected, dataset.keyset)
    if not dataset.keyset:
        return Answer(data={key: row})
    beside: Record = {"contactAutomations": [], "contactLists": [], "deals": [], "geoIps": []}
    return Answer(data={**beside, dataset.sideload: values, "accountContacts": [], key: row})


def _listing_page(account: Account, call: Call, listing: Listing) -> Record:
    rows = list(account.metadata.listings[listing.name])
    limit = call.limit(100 if listing.path in LONG_DEFAULT_LIMIT else 20)
    page = rows[call.offset : call.offset + limit]
    return _ENVELOPES[listing.name](account, page, len(rows))


def _fields(account: Account, page: list[Record], total: int) -> Record:
    ids = {row["id"] for row in page}
    metadata = account.metadata
    return {
        "fieldOptions": [row for row in metadata.field_options if row["field"] in ids],
        "fieldRels": [row for row in metadata.field_relations if row["field"] in ids],
        "fields": page,
        "meta": {"total": str(total), "selected": None},
    }


def _pipelines(account: Account, page: list[Record], total: int) -> Record:
    ids = {row["id"] for row in page}
    stages = [row for row in account.metadata.listings["stages"] if row["group"] in ids]
    return {"dealStages": stages, "dealGroups": page, "meta": {"total": total}}


_ENVELOPES: dict[ListingName, Callable[[Account, list[Record], int], Record]] = {
    "contact_fields": _fields,
    "deal_fields": lambda _account, page, _total: {"dealCustomFieldMeta": page},
    "pipelines": _pipelines,
    "stages": lambda _account, page, total: {"dealStages": page, "meta": {"total": total}},
    "users": lambda _account, page, total: {"meta": {"total": str(total)}, "users": page},
}
"""Each listing's own wrapping: `total` is text, a number, or not there at all."""
