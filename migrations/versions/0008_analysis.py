"""Add typed columns, stages over time, and the age of the data."""

from migrations import run_sql_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0008_analysis.sql")
