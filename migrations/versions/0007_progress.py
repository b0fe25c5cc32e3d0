"""Store a running sync's progress with its lease."""

from migrations import run_sql_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0007_progress.sql")
