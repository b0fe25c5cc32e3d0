"""Keep a running sync's progress beside its lease."""

from migrations import run_sql_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql_file("0007_progress.sql")
