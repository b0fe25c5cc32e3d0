"""The HTTP service: status, trigger, metrics and dashboard of one account."""
