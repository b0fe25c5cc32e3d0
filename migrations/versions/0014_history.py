"""Add history by time, changed fields, deleted records, and why deals left their stages."""

from migrations import run_sql_file

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0014_history.sql")
