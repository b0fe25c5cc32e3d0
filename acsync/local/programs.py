"""Name the programs that were installed with acsync, for commands that people paste."""

import shlex
import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """Return a program of this environment: its name, or its path if it is not on the PATH."""
    path = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(path) else shlex.quote(str(path))
