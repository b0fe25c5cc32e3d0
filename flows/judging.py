"""Refuse what looks like a key that lost a permission, unless a person accepts it."""

from acsync.errors import ShrinkRefused
from acsync.models import DatasetName
from acsync.store.losses import Loss, count_losses
from acsync.store.staging import StagedCounts
from flows.session import SyncSession

MIN_SUSPICIOUS = 10
"""Fewer records than this lose their fields or their sight by people's everyday work."""


def require_no_loss(session: SyncSession, name: DatasetName, counts: StagedCounts) -> None:
    """Raise ShrinkRefused where more than ACSYNC_MAX_SHRINK of the published is lost.

    Records can vanish, or stay and lose what made them useful.
    """
    if session.accept_shrink:
        return
    _judge(session, name, Loss(counts.vanished, counts.published), "are gone from the account")
    fields, sight = count_losses(session.database, session.sync, name)
    if fields.lost >= MIN_SUSPICIOUS:
        _judge(session, name, fields, "with custom fields have none any more")
    if sight.lost >= MIN_SUSPICIOUS:
        _judge(session, name, sight, "that could be seen are masked now")


def _judge(session: SyncSession, name: DatasetName, loss: Loss, what: str) -> None:
    if loss.lost <= session.settings.max_shrink * loss.had:
        return
    raise ShrinkRefused(
        f"{loss.lost:,} of {loss.had:,} published {name} {what}, more than ACSYNC_MAX_SHRINK "
        f"({session.settings.max_shrink:g}) allows. Check what the user of AC_API_KEY may see; if "
        f"that is right, run: acsync sync --only {name} --accept-shrink"
    )
