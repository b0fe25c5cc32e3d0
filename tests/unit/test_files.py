"""Files are replaced as a whole and keep their mode; other kinds of paths are never replaced."""

import os
import stat
import threading
from pathlib import Path

import pytest

from acsync.files import replace_file

LIKE_NULL = os.makedev(1, 3)  # a second node for the device of /dev/null


def write(path: Path, content: bytes = b"new") -> None:
    with replace_file(path) as file:
        file.write(content)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_is_closed_to_others(tmp_path: Path) -> None:
    """It holds personal data, so the umask does not matter."""
    umask = os.umask(0)
    try:
        write(tmp_path / "out.csv")
    finally:
        os.umask(umask)

    assert mode_of(tmp_path / "out.csv") == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_an_old_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    """Somebody closed it, or opened it to a group, on purpose."""
    file = tmp_path / "out.csv"
    file.write_bytes(b"old")
    file.chmod(mode)

    write(file)

    assert (mode_of(file), file.read_bytes()) == (mode, b"new")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner")
def test_an_old_file_keeps_its_owner(tmp_path: Path) -> None:
    """Root's cron job must not take a file from the user who reads it."""
    file = tmp_path / "out.csv"
    file.write_bytes(b"old")
    os.chown(file, 12345, 54321)

    write(file)

    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 54321)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_symlink_stays_and_its_target_is_replaced(tmp_path: Path, is_there: bool) -> None:
    """Two links and a relative path work too. A dangling link gets its target."""
    (tmp_path / "data").mkdir()
    target = tmp_path / "data" / "out.csv"
    if is_there:
        target.write_bytes(b"old")
    (tmp_path / "link").symlink_to("data/out.csv")
    (tmp_path / "other").symlink_to(tmp_path / "link")

    write(tmp_path / "other")

    assert (tmp_path / "other").is_symlink()
    assert (tmp_path / "link").is_symlink()
    assert target.read_bytes() == b"new"
    assert names_in(tmp_path / "data") == ["out.csv"]


@pytest.mark.parametrize("name", ["fifo", "link"])
def test_a_fifo_is_written_to(tmp_path: Path, name: str) -> None:
    """acsync used to replace the FIFO, and its reader waited forever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_bytes()))
    reader.start()

    write(tmp_path / name)

    reader.join(timeout=10)
    assert read == [b"new"]
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert names_in(tmp_path) == ["fifo", "link"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """As root, acsync replaced /dev/null by a file of contacts, which broke the machine."""
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, LIKE_NULL)

    write(device)

    assert stat.S_ISCHR(device.stat().st_mode)
    assert names_in(tmp_path) == ["null"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """No temporary file is left either."""
    file = tmp_path / "out.csv"
    file.write_bytes(b"old")

    with pytest.raises(TypeError), replace_file(file) as new:
        new.writelines([b"half", "text"])  # type: ignore[list-item]

    assert file.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out.csv"]


def test_a_folder_and_a_loop_of_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(IsADirectoryError):
        write(tmp_path)
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "loop")
