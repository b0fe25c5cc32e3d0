"""Keep the relations that a sync was published without as a value."""

from migrations import run_sql_file

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0025_left_out.sql")
