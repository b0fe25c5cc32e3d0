"""Keep what a sync warned of beside what it published."""

from migrations import run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql_file("0003_warnings.sql")
