"""Store the rows of tags, lists and changed fields, which views computed before."""

from migrations import run_sql_file

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0021_stored_rows.sql")
