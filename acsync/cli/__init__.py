"""The `acsync` command line."""

from acsync.cli.app import main

__all__ = ["main"]
