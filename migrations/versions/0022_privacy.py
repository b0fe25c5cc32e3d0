"""Keep the privacy rules that the copy meets."""

from migrations import run_sql_file

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0022_privacy.sql")
