"""How often a full sync runs, and when its data is late or stale."""

from datetime import timedelta

INTERVAL = timedelta(minutes=15)
LATE_AFTER = 2 * INTERVAL
STALE_AFTER = 3 * INTERVAL
