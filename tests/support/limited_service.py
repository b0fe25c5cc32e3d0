"""Serve with few file descriptors, and close stalled connections after SECONDS: an argument."""

import os
import resource
import sys

from rich.console import Console

from acsync.cli.app import QUIET_PREFECT
from acsync.settings import DATABASE, SERVICE, read_settings

DESCRIPTORS = 128

if __name__ == "__main__":
    os.environ.update(QUIET_PREFECT)
    from acsync.cli.serve import run_serve

    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    run_serve(Console(), read_settings(DATABASE + SERVICE), None, "127.0.0.1", 0, int(sys.argv[1]))
