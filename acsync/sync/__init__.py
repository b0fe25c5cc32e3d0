"""The product: one sync as steps, plain functions over values; no Prefect."""
