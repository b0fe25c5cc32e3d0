"""The product: one sync as plain functions over values, without Prefect.

Each step returns what it found, and the next step takes it:

    open_sync -> read_metadata -> plan -> copy_slice -> verify -> publish
"""
