"""Record when the oldest published record was read."""

from migrations import run_sql_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0010_oldest_read.sql")
