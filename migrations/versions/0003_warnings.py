"""Store the warnings of a sync in its log row."""

from migrations import run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0003_warnings.sql")
