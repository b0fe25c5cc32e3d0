"""Tell which acsync runs: its version, and the commit if it is known."""

import json
import os
import subprocess
from contextlib import suppress
from importlib.metadata import distribution, version
from pathlib import Path

# Set by the image, whose build has no repository.
VARIABLE = "SOURCE_COMMIT"
LENGTH = 9


def describe_version() -> str:
    """Return the version, such as `acsync 0.2.0 (commit 1a2b3c4d5)`."""
    commit = os.environ.get(VARIABLE) or _read_installed_commit() or _read_checked_out_commit()
    return f"acsync {version('acsync')}" + (f" (commit {commit[:LENGTH]})" if commit else "")


def _read_installed_commit() -> str | None:
    """Return the commit of `pip install git+...`, which pip records (PEP 610)."""
    origin = json.loads(distribution("acsync").read_text("direct_url.json") or "{}")
    commit: str | None = origin.get("vcs_info", {}).get("commit_id")
    return commit


def _read_checked_out_commit() -> str | None:
    """Return the commit of the checkout that this file is in; git may be missing or refuse."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=5)  # noqa: S603
        return done.stdout.strip()
    return None
