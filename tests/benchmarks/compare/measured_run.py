"""Run a command, and measure its time and the memory of all its processes."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT

import psutil

SAMPLE_SECONDS = 0.1
TIMEOUT_SECONDS = 900
MAX_ERROR_LENGTH = 120


@dataclass(frozen=True)
class Run:
    """A command that ended; `peak_mb` is the peak memory of the command and its children."""

    seconds: float
    peak_mb: float
    status: int | None
    last_error: str


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Run:
    """Run the command in this folder, and kill it after the timeout."""
    began, peak, log = time.monotonic(), 0, folder / "log"
    with log.open("wb") as output:
        process = psutil.Popen(command, env=environment, cwd=folder, stdout=output, stderr=STDOUT)
        while process.poll() is None:
            peak = max(peak, _resident_bytes(process))
            if time.monotonic() - began > TIMEOUT_SECONDS:
                _kill(process)
            time.sleep(SAMPLE_SECONDS)
    return Run(time.monotonic() - began, peak / 1e6, process.returncode, _last_error(log))


def _last_error(log: Path) -> str:
    """Return the last error in a log, or its last line if there is none."""
    text = log.read_text(errors="replace").strip()
    errors = re.findall(r"[A-Z]\w*(?:Error|Exception): [^\\\n]+", text)
    return (errors or text.splitlines() or ["no output"])[-1].strip()[:MAX_ERROR_LENGTH]


def _resident_bytes(process: psutil.Process) -> int:
    total = 0
    for member in _tree(process):
        try:
            total += member.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    for member in _tree(process):
        member.kill()
