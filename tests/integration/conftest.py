"""Give integration tests Postgres, Prefect and an account."""

from tests.support.fixtures import (
    account,
    api,
    copy_account,
    database,
    database_url,
    empty_database,
    options,
    postgres,
    prefect_api,
    served,
    served_account,
    sync,
    tmp_path,
)

__all__ = [
    "account",
    "api",
    "copy_account",
    "database",
    "database_url",
    "empty_database",
    "options",
    "postgres",
    "prefect_api",
    "served",
    "served_account",
    "sync",
    "tmp_path",
]
