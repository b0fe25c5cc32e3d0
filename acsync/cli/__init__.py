"""The `acsync` command: wires things together, and turns errors into one paragraph each."""

from acsync.cli.app import main

__all__ = ["main"]
