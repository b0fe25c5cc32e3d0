"""The verification as a Prefect flow: `acsync deploy --verify-daily` schedules it."""

from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from acsync.datasets import DatasetName
from acsync.errors import AcsyncError, use_account
from acsync.store.database import open_database
from acsync.sync.account_verification import describe_wait, require_equal, verify_copy
from flows.blocks import read_account_settings
from flows.reporting import describe_data_age, label_flow_run, save_data_age


@flow(
    name="verify-activecampaign",
    description="Compare random records of the copy with the ActiveCampaign account.",
)
def verify_activecampaign(sample: int = 200, account: str | None = None) -> State[Any]:
    """Verify the copy once. The run fails, and alerts, if a record differs.

    Args:
        sample: How many random records of each dataset to compare.
        account: Name of the block with the credentials. Default: the worker's environment.
    """
    use_account(account)
    try:
        settings = read_account_settings(account)
        label_flow_run(settings, settings.datasets)
        save_data_age(settings, describe_data_age(settings))
        with closing(open_database(settings)) as database:
            report = verify_copy(settings, database, settings.datasets, sample, _tell)
        require_equal(settings.schema_name, report.checks)
    except AcsyncError as error:
        return Failed(message=str(error), data=error)
    counts = " and ".join(f"{check.counts.sampled:,} {check.name}" for check in report.checks)
    return Completed(message=f"{counts} compared, none is different. {' '.join(report.notes)}")


def _tell(undecided: Mapping[DatasetName, int], patience: timedelta) -> None:
    get_run_logger().info(describe_wait(undecided, patience))
