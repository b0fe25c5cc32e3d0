"""Copy an account with dlt's `rest_api` source; runs in dlt's virtual environment.

A resource takes one array of an answer. The custom field values are in the same answers as the
records, so reading both requests each page twice.
"""

import os
from typing import Any

import dlt  # type: ignore[import-not-found]  # only in its environment
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]  # the same


def listing(name: str, path: str, **params: str) -> dict[str, Any]:
    """Return a resource: the array `name` of every page of a path."""
    endpoint = {"path": path, "data_selector": name, "params": params}
    return {"name": name, "endpoint": endpoint}


def values(name: str, path: str) -> dict[str, Any]:
    """Return a resource: the custom field values of the records of a path."""
    # Without a type, dlt guesses one from the first value.
    columns = {"value": {"data_type": "text"}}
    return {**listing(name, path, include=name, **{"orders[id]": "ASC"}), "columns": columns}


SMALL = ("fields", "dealGroups", "dealStages", "users")
source = rest_api_source(
    {
        "client": {
            "base_url": f"{os.environ['ACCOUNT_URL']}/api/3/",
            "auth": {
                "type": "api_key",
                "name": "Api-Token",
                "location": "header",
                "api_key": os.environ["ACCOUNT_KEY"],
            },
            "paginator": {
                "type": "offset",
                "limit": 100,
                "total_path": "meta.total",
                "stop_after_empty_page": False,
            },
        },
        "resource_defaults": {"primary_key": "id", "write_disposition": "replace"},
        "resources": [
            listing("contacts", "contacts", **{"orders[id]": "ASC"}),
            values("fieldValues", "contacts"),
            listing("deals", "deals", **{"orders[id]": "ASC"}),
            values("dealCustomFieldData", "deals"),
            *(listing(path, path) for path in SMALL),
            # The only listing without a total.
            {
                "name": "dealCustomFieldMeta",
                "endpoint": {"path": "dealCustomFieldMeta", "paginator": "single_page"},
            },
        ],
    }
)
pipeline = dlt.pipeline(
    "activecampaign",
    pipelines_dir=os.environ["PIPELINES_DIR"],
    destination=dlt.destinations.postgres(os.environ["DATABASE_URL"]),
    dataset_name="activecampaign",
)
pipeline.run(source)
