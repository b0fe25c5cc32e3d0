"""Generate the columns of records during staging instead of publishing."""

from migrations import run_sql_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0009_staged_columns.sql")
