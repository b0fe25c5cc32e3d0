"""Relations that an account does not send along: warn of them, or publish nothing."""

import re

from acsync.datasets import DatasetName
from acsync.errors import SyncFailed
from acsync.readings import Warnings
from acsync.store.sync_log import read_full_warnings
from acsync.sync.context import SyncContext
from acsync.sync.job import Job


def warn_of_left_out(context: SyncContext, job: Job) -> Warnings:
    """Warn of the relations that did not come with all records: which, why, and what to set."""
    reasons = context.optional_relations[job.dataset].reasons
    left_out = [name for name in job.relations if name in reasons or name not in job.plan.relations]
    if not left_out:
        return ()
    rest = ",".join(name for name in job.relations if name not in left_out)
    remedy = f"set ACSYNC_SIDELOADS={rest}" if rest else "leave ACSYNC_SIDELOADS empty"
    # `_read_left_out` reads the names from this warning.
    return (
        f"ActiveCampaign does not send {' and '.join(left_out)} along with the {job.dataset}: they "
        f"stay as they were last known. {' '.join(dict.fromkeys(reasons.values()))} If this lasts, "
        f"{remedy}",
    )


def require_relations(context: SyncContext, name: DatasetName) -> None:
    """Raise SyncFailed if a relation was left out that came with the last full sync.

    An incremental sync would publish new contacts without their tags, and not read them again.
    """
    reasons = context.optional_relations[name].reasons
    if not reasons:
        return
    known = _read_left_out(context, name)
    if missing := [relation for relation in reasons if relation not in known]:
        raise SyncFailed(
            f"ActiveCampaign did not send {' and '.join(missing)} along with the {name}, as it did "
            f"in the last full sync. {reasons[missing[0]]}",
            "The next incremental sync reads the changes again.",
        )


def _read_left_out(context: SyncContext, name: DatasetName) -> list[str]:
    """Return the relations that the last full sync was published without."""
    warnings = "\n".join(read_full_warnings(context.database, name))
    match = re.search(f"^ActiveCampaign does not send (.+?) along with the {name}:", warnings, re.M)
    return match[1].split(" and ") if match else []
