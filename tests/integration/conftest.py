"""Provide integration tests with Postgres, Prefect and an account."""

from tests.support.fixtures import *  # noqa: F403  # pytest finds fixtures by their names here
