"""Run a command, and measure its time and the memory of all its processes."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT

import psutil

INTERVAL_SECONDS = 0.1
PATIENCE_SECONDS = 900
MOST_WORDS = 120  # characters


@dataclass(frozen=True)
class Run:
    """A command that ended; `peak_mb` is the most resident memory of it and its children."""

    seconds: float
    peak_mb: float
    status: int | None
    last_words: str


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Run:
    """Run the command to its end in this folder, or kill it when patience ends."""
    began, peak = time.monotonic(), 0
    with log.open("wb") as output:
        process = psutil.Popen(command, env=environment, cwd=folder, stdout=output, stderr=STDOUT)
        while process.poll() is None:
            peak = max(peak, _resident(process))
            if time.monotonic() - began > PATIENCE_SECONDS:
                _kill(process)
            time.sleep(INTERVAL_SECONDS)
    return Run(time.monotonic() - began, peak / 1e6, process.returncode, _last_words(log))


def _last_words(log: Path) -> str:
    """Return the last error that a command named, or else its last line."""
    text = log.read_text(errors="replace").strip()
    errors = re.findall(r"[A-Z]\w*(?:Error|Exception): [^\\\n]+", text)
    return (errors or text.splitlines() or ["nothing was said"])[-1].strip()[:MOST_WORDS]


def _resident(process: psutil.Process) -> int:
    total = 0
    for one in _tree(process):
        try:
            total += one.memory_info().rss
        except psutil.Error:  # it ended just now
            continue
    return total


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    for one in _tree(process):
        one.kill()
