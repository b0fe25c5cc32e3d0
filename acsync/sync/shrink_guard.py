"""Refuse what looks like a key that lost a permission, unless a person accepts it."""

from acsync.errors import ShrinkRefused
from acsync.models import DatasetName
from acsync.store.snapshot import Loss, StagedCounts, count_losses
from acsync.sync.context import SyncContext

# Everyday work takes the fields, or the sight, of fewer records than this.
MIN_SUSPICIOUS = 10


def require_no_shrink(context: SyncContext, name: DatasetName, staged: StagedCounts) -> None:
    """Raise ShrinkRefused where more than ACSYNC_MAX_SHRINK of what is published would be lost.

    Records can vanish, or stay and lose what made them useful.
    """
    if context.accept_shrink:
        return
    _require_small(
        context, name, Loss(staged.vanished, staged.published), "are gone from the account"
    )
    fields, sight = count_losses(context.database, context.sync, name)
    if fields.lost >= MIN_SUSPICIOUS:
        _require_small(context, name, fields, "with custom fields have none any more")
    if sight.lost >= MIN_SUSPICIOUS:
        _require_small(context, name, sight, "that could be seen are masked now")


def _require_small(context: SyncContext, name: DatasetName, loss: Loss, what: str) -> None:
    allowed = context.settings.max_shrink
    if loss.lost <= allowed * loss.had:
        return
    raise ShrinkRefused(
        f"{loss.lost:,} of {loss.had:,} published {name} {what}, more than ACSYNC_MAX_SHRINK "
        f"({allowed:g}) allows.",
        "Check what the user of AC_API_KEY may see. If the loss is right, run: "
        f"acsync sync --only {name} --accept-shrink",
    )
