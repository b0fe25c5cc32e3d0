"""The product: one sync as plain functions over values, without Prefect.

Each step returns what it found, and the next step takes it:

    open_sync -> read_metadata, read_newest -> plan
              -> copy_slice, read_newest_again -> verify -> publish
"""
