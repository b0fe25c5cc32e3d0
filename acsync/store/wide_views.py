"""Bring the wide views up to date with the custom fields."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from acsync.datasets import DatasetName
from acsync.errors import LockHeld, StoreError
from acsync.models import DatasetResult, Sync
from acsync.store.database import Database, run
from acsync.store.sync_log import add_warning

# Tries while a reader locks the view. Each one waits at most 100 ms for the lock.
TRIES, TRY_AGAIN_SECONDS = 4, 1.0


def update_wide_views(
    database: Database, sync: Sync, results: Mapping[DatasetName, DatasetResult]
) -> dict[DatasetName, DatasetResult]:
    """Update the wide view of each published dataset, and return the results.

    If a view cannot be updated, a warning is added to the result and to the log, and the next sync
    tries again.
    """
    updated = dict(results)
    for name, result in results.items():
        try:
            if result.success:
                _update(database, name)
        except StoreError as error:
            warning = (
                f"The wide view of the {name} is not up to date: new custom fields have no column "
                f"there yet. {error}"
            )
            updated[name] = replace(result, warnings=(*result.warnings, warning))
            # The data is published, so an error of the log must not make the sync fail.
            with suppress(StoreError):
                add_warning(database, sync, name, warning)
    return updated


def _update(database: Database, name: DatasetName) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            with database.begin() as connection:
                run(connection, "select {schema}.ac_update_wide_view(:data_type)", name)
        except LockHeld:
            if not tries_left:
                raise
            time.sleep(TRY_AGAIN_SECONDS)
        else:
            return
