"""Copy an account with PyAirbyte into its Postgres cache; runs in its virtual environment."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import airbyte  # type: ignore[import-not-found]  # only in its environment
from airbyte.caches import PostgresCache  # type: ignore[import-not-found]  # the same

database = urlsplit(os.environ["DATABASE_URL"])
source = airbyte.get_source(
    "source-activecampaign",
    config={"api_key": os.environ["ACCOUNT_KEY"], "account_username": "account"},
    source_manifest=Path(os.environ["SOURCE_MANIFEST"]),
    streams=["contacts", "deals"],
)
cache = PostgresCache(
    host=database.hostname,
    port=database.port,
    username=database.username,
    password=database.password,
    database=database.path.removeprefix("/"),
    schema_name="activecampaign",
    cache_dir=os.environ["PIPELINES_DIR"],
)
# The source reads whole streams only. The default strategy merges, and would keep deleted records.
source.read(cache, write_strategy="replace", force_full_refresh=True)
