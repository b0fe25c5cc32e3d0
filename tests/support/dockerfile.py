"""The instructions of the Dockerfile."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def read_instructions() -> list[tuple[str, str]]:
    """Return each instruction and its arguments, without comments and with joined lines."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    whole = text.replace("\\\n", " ").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in whole) if name]


def command_of(name: str) -> list[str]:
    """Return the command of the last ENTRYPOINT, CMD, or HEALTHCHECK."""
    *_, last = (rest for instruction, rest in read_instructions() if instruction == name)
    command: list[str] = json.loads(last[last.index("[") :])
    return command
