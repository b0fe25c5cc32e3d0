"""Tell full from incremental syncs, and keep what incremental syncs start from."""

from migrations import run_sql_file

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0019_incremental.sql")
