"""Point this process, and what it starts, at a simulated account and at nothing else."""

import os
from pathlib import Path

OVERRIDDEN = ("POSTGRES_URL", "DATABASE_URL", "ACSYNC_SCHEMA", "LIMIT_PER_PAGE")
"""What is set for a real account, and must not be used for an invented one."""


def point_at_simulated(url: str, api_key: str, calls_per_second: float, data_dir: Path) -> None:
    """Set the environment, from which the flow reads its settings itself."""
    for name in OVERRIDDEN:
        os.environ.pop(name, None)
    os.environ.update(
        AC_API_URL=url,
        AC_API_KEY=api_key,
        AC_RATE_LIMIT=f"{calls_per_second:g}",
        ACSYNC_DATA_DIR=str(data_dir),
    )
