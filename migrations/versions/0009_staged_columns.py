"""Generate the columns of records where they are staged, so that publishing need not."""

from migrations import run_sql_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql_file("0009_staged_columns.sql")
