"""Look at everything a sync needs, and change nothing."""
