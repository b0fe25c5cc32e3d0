"""Keep the interval of full syncs, and count staleness from the last one."""

from migrations import run_sql_file

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0018_interval.sql")
