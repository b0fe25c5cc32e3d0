"""The product: one sync as plain functions over values, without Prefect.

Each step returns a value, which the next step takes:

    open_sync -> read_metadata, read_newest -> plan -> stage_newest
              -> copy_slice, read_newest_again -> verify -> publish
"""
