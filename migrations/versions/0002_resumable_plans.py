"""Store the plan of a walk with its staging, so that another sync can resume it."""

from migrations import run_sql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0002_resumable_plans.sql")
