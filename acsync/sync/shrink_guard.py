"""Refuse to publish a sync that would lose more than a healthy account loses."""

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from acsync.datasets import LISTINGS, DatasetName
from acsync.errors import ShrinkRefused
from acsync.store.losses import KeyLoss, Kind, Loss, count_losses
from acsync.sync.context import SyncContext
from acsync.sync.job import Job

# Everyday work removes fewer fields, tags, memberships or values than this.
MIN_SUSPICIOUS = 10

ByKey: TypeAlias = Mapping[str, KeyLoss]


def require_no_shrink(context: SyncContext, job: Job) -> None:
    """Raise ShrinkRefused if more than ACSYNC_MAX_SHRINK of what is published would be lost.

    Records can disappear, or lose their custom fields, names, tags or lists.
    """
    if context.accept_shrink:
        return
    name = job.dataset
    losses = count_losses(context.database, context.sync, name, MIN_SUSPICIOUS)
    least = 1 if _has_empty_listing(job) else MIN_SUSPICIOUS
    suspects = [
        # People and automations delete less than a fifth of an account between two syncs.
        (losses.records, 1, f"published {name} are gone from the account"),
        # An empty listing means a lost permission, however few records use it.
        (losses.fields, least, f"published {name} with custom fields have none left"),
        (losses.sight, MIN_SUSPICIOUS, f"published {name} that could be seen are masked now"),
        (losses.names, least, f"published {name} with a pipeline or stage have lost its name"),
        *(
            (COUNTED[kind](job, by_key), MIN_SUSPICIOUS, f"{TITLES[kind]} of {name} are gone")
            for kind, by_key in losses.by_key.items()
        ),
    ]
    for loss, least_lost, text in suspects:
        if loss.lost >= least_lost:
            _require_small(context, name, loss, text)


def _has_empty_listing(job: Job) -> bool:
    return any(not rows and not LISTINGS[need].optional for need, rows in job.metadata.items())


def _require_small(context: SyncContext, name: DatasetName, loss: Loss, text: str) -> None:
    allowed = context.settings.max_shrink
    if loss.lost <= allowed * loss.had:
        return
    raise ShrinkRefused(
        f"{loss.lost:,} of {loss.had:,} {text}, more than ACSYNC_MAX_SHRINK ({allowed:g}) allows.",
        "Check what the user of AC_API_KEY may see. If the loss is right, run: "
        f"acsync sync --only {name} --accept-shrink",
    )


TITLES: dict[Kind, str] = {
    "values": "custom field values",
    "tags": "tags",
    "lists": "list memberships",
}


def count_values(job: Job, by_key: ByKey) -> Loss:
    """Return the loss of values, without those of fields that the account no longer lists.

    Deleting a field deletes its values and its definition. If more fields disappear than stay, the
    key lost a permission, and all values count. Values of a field that is still listed always
    count.
    """
    listed = {field.field_id for field in job.enricher.fields}
    return _count_unless_explained(by_key, lambda key, _loss: key not in listed)


def count_tags(_job: Job, by_key: ByKey) -> Loss:
    """Return the loss of tags, without tags that no contact has now.

    Deleting or renaming a tag removes it from all contacts, even if most had it. If more tags
    disappear than stay, or the only one does, all count: no permission is limited to some tags.
    """
    return _count_unless_explained(by_key, lambda _key, loss: not loss.kept)


def count_lists(job: Job, by_key: ByKey) -> Loss:
    """Return the loss of memberships, without those of lists that the account no longer lists.

    Deleting a list deletes its memberships. Losing the permission to see lists looks the same, so
    if most memberships disappear, all count. Unsubscribing, also in bulk, keeps a membership and
    changes its status.
    """
    listed = {str(row["id"]) for row in job.metadata.get("lists", ())}
    total = _sum(by_key.values())
    if 2 * total.lost > total.had:
        return total
    return _sum([loss for key, loss in by_key.items() if key in listed])


def _count_unless_explained(by_key: ByKey, is_explained: Callable[[str, KeyLoss], bool]) -> Loss:
    """Return the loss without explained keys; if more keys disappear than stay, of all keys."""
    explained = [key for key, loss in by_key.items() if loss.lost and is_explained(key, loss)]
    staying = [key for key, loss in by_key.items() if loss.kept and not is_explained(key, loss)]
    if len(explained) > len(staying):
        return _sum(by_key.values())
    return _sum([loss for key, loss in by_key.items() if key not in explained])


def _sum(losses: Collection[Loss]) -> Loss:
    return Loss(sum(loss.lost for loss in losses), sum(loss.had for loss in losses))


COUNTED: dict[Kind, Callable[[Job, ByKey], Loss]] = {
    "values": count_values,
    "tags": count_tags,
    "lists": count_lists,
}
