"""All HTTP: one call, the account's pace, and walks that lose nothing."""
