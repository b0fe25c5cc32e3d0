"""Measurements, kept out of the test suite because shared machines are noisy."""
