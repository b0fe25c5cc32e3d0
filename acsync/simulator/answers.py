"""Answer calls as the API does: paging, orders, sideloads, envelopes."""

import re
from collections.abc import Callable
from dataclasses import replace

from acsync.datasets import DATASETS, LISTINGS, Dataset, DatasetName, Listing, ListingName, Record
from acsync.simulator.account import Account
from acsync.simulator.requests import Answer, Call
from acsync.simulator.values import in_local_time, load, start_of_day

# The key of a single record, and its class name in the API's 404.
SINGULAR = {"contacts": ("contact", "Subscriber"), "deals": ("deal", "Deal")}

UPDATED_AFTER = "filters[updated_after]"
LONG_DEFAULT_LIMIT = frozenset({"fields", "dealCustomFieldMeta"})
_PAGE_INPUT = load("contacts")["page_input"]
_DATASETS = {dataset.path: dataset for dataset in DATASETS.values()}
_ACTIVITIES = "dealActivities"
_LISTINGS = {listing.path: listing for listing in LISTINGS.values()}


def answer_with_faults(account: Account, call: Call) -> Answer:
    """Return the answer to an accepted call, changed by the account's faults."""
    faults = account.faults.strike(call)
    for fault in faults:
        call = fault.ask(call) if fault.ask else call
    answer = answer_call(account, call)
    for fault in faults:
        answer = fault.reply(call, answer) if fault.reply else answer
    return answer


def answer_call(account: Account, call: Call) -> Answer:
    """Return the answer of the API if nothing is wrong."""
    if answer := _OBJECTS.get(call.path):
        return answer(account, call)
    if page := _collection_page(account, call):
        return Answer(data=page)
    if single := re.fullmatch(r"(contacts|deals)/([0-9]{1,18})", call.path):
        return _single(account, call, _DATASETS[single[1]], int(single[2]))
    return message(404, f"No route found for GET /api/3/{call.path}")


def _collection_page(account: Account, call: Call) -> Record | None:
    if dataset := _DATASETS.get(call.path):
        return _dataset_page(account, call, dataset)
    if listing := _LISTINGS.get(call.path):
        return _listing_page(account, call, listing)
    if call.path == _ACTIVITIES:
        rows, total = account.activity_page(call)
        return {_ACTIVITIES: rows, "meta": {"total": str(total)}}
    return None


def _key_owner(account: Account, _call: Call) -> Answer:
    users = account.metadata.listings["users"]
    missing = message(404, "No Result found for User with id me")
    return Answer(data={"user": users[0]}) if users else missing


def _settings(account: Account, _call: Call) -> Answer:
    total = str(len(account.ids("contacts")))
    return Answer(data={"subscriber_total": total, "subscriber_limit": "100000"})


def _hidden_pipelines(account: Account, call: Call) -> Answer:
    """Return the pipelines that the user cannot see; as documented, both parameters are needed."""
    for name in ("dealIds", "userId"):
        if name not in {key.removesuffix("[]") for key in call.params}:
            detail = f"Parameter {name} is required."
            error = {"status": 422, "title": "Invalid Input Parameter", "detail": detail}
            return Answer(422, {"errors": [error]})
    return Answer(data={"dealGroups": account.metadata.hidden_pipelines})


_OBJECTS: dict[str, Callable[[Account, Call], Answer]] = {
    "users/me": _key_owner,
    "settings/account": _settings,
    "dealGroup/get_inaccessible_deal_groups": _hidden_pipelines,
}


def _understood(account: Account, call: Call, dataset: Dataset) -> Call:
    """Return the call as the dataset, and this account, understand it."""
    if not dataset.keyset:
        return call.without("id_greater", "id_less", "filters")
    read = {"days": start_of_day, "local": in_local_time}.get(account.options.date_filter)
    if read and UPDATED_AFTER in call.params:
        bound = read(call.params[UPDATED_AFTER])
        return replace(call, params={**call.params, UPDATED_AFTER: bound})
    return call


def message(status: int, text: str) -> Answer:
    """Return an error in the form of the older endpoints."""
    return Answer(status, {"message": text})


def _dataset_page(account: Account, call: Call, dataset: Dataset) -> Record:
    """Return a page of contacts or deals; deals ignore `id_greater` and `id_less`."""
    sideload = call.includes(dataset.sideload)
    understood = _understood(account, call, dataset)
    rows, sideloads, total = account.page(dataset.name, understood, sideload)
    body = {**sideloads, dataset.path: rows}
    if dataset.keyset:
        meta = {"page_input": _page_input(call), "total": str(total), "sortable": True}
        return {"scoreValues": [], **body, "meta": meta}
    return {**body, "meta": {"currencies": _currencies(total), "total": total}}


def _page_input(call: Call) -> Record:
    place = {"limit": call.limit(), "offset": call.offset, "cacheid": f"{call.offset:032x}"}
    return {**_PAGE_INPUT, **place}


def _currencies(total: int) -> Record | list[Record]:
    """Return sums by currency, or `[]`, PHP's empty object, without deals."""
    if not total:
        return []
    sums = {"total": str(total), "value": str(total * 1234), "currency": "USD"}
    return {"USD": {**sums, "isDisabled": False}}


def _single(account: Account, call: Call, dataset: Dataset, record: int) -> Answer:
    """Return one record; the values of a contact come without include.

    A single contact also has other keys than one of the list, as recorded.
    """
    key, kind = SINGULAR[dataset.path]
    sideload = dataset.keyset or call.includes(dataset.sideload)
    try:
        row, values = account.record(dataset.name, record, sideload)
    except KeyError:
        return message(404, f"No Result found for {kind} with id {record}")
    if not dataset.keyset:
        return Answer(data={dataset.sideload: values, key: row} if sideload else {key: row})
    arrays: Record = {"contactAutomations": [], "contactLists": [], "deals": [], "geoIps": []}
    included = ("contactTags", "tags") if call.includes_any("contactTags") else ()
    related = account.related(record)
    arrays |= {name: related[name] for name in ("contactLists", *included)}
    del row["scoreValues"]
    row |= {name: [item["id"] for item in arrays[name]] for name in arrays if name != "tags"}
    return Answer(data={**arrays, dataset.sideload: values, "accountContacts": [], key: row})


# The key of a count in the rows of a listing, and the records that it counts.
_COUNTS: dict[ListingName, tuple[str, DatasetName]] = {
    "pipelines": ("count", "deals"),
    "lists": ("active_subscribers", "contacts"),
}


def _listing_page(account: Account, call: Call, listing: Listing) -> Record:
    rows = account.metadata.listings[listing.name]
    if listing.name in _COUNTS:
        key, counted = _COUNTS[listing.name]
        rows = [{**row, key: str(len(account.ids(counted)))} for row in rows]
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


# Each listing has another envelope: `total` is text, a number, or missing.
_ENVELOPES: dict[ListingName, Callable[[Account, list[Record], int], Record]] = {
    "contact_fields": _fields,
    "deal_fields": lambda _account, page, _total: {"dealCustomFieldMeta": page},
    "pipelines": _pipelines,
    "stages": lambda _account, page, total: {"dealStages": page, "meta": {"total": total}},
    "users": lambda _account, page, total: {"meta": {"total": str(total)}, "users": page},
    "lists": lambda _account, page, total: {"lists": page, "meta": {"total": str(total)}},
}
