"""Give drills Postgres, Prefect and an account."""

from tests.support.fixtures import (
    account,
    api,
    database,
    database_url,
    empty_database,
    options,
    postgres,
    prefect_api,
    served,
    sync,
    tmp_path,
)

__all__ = [
    "account",
    "api",
    "database",
    "database_url",
    "empty_database",
    "options",
    "postgres",
    "prefect_api",
    "served",
    "sync",
    "tmp_path",
]
