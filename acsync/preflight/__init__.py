"""Check everything a sync needs, and change nothing."""
