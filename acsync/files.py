"""Write a whole file or none, and replace only regular files."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a temporary file that replaces `path` at the end. Raises OSError.

    An existing file keeps its mode and owner; a new file gets mode 600. If `path` is a symlink, its
    target is replaced. Devices, FIFOs and sockets are written directly. If the block fails, the
    temporary file is deleted and the existing file is unchanged.
    """
    old = _stat(path)
    if old is not None and not stat.S_ISREG(old.st_mode):
        # No O_CREAT: Linux refuses it for another user's FIFO in /tmp.
        with os.fdopen(os.open(path, os.O_WRONLY), "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    number, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            if old is not None:
                _copy_owner_and_mode(old, number)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _copy_owner_and_mode(old: os.stat_result, number: int) -> None:
    """Copy the mode, and the owner if this user is allowed to."""
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(PermissionError):
            os.fchown(number, owner, group)
    os.fchmod(number, stat.S_IMODE(old.st_mode))
