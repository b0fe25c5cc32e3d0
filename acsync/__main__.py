"""Run the `acsync` command as `python -m acsync`."""

from acsync.cli import main

main()
