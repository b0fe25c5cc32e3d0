"""Keep the plan of a walk beside its staging, so that a sync can resume what another staged."""

from migrations import run_sql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql_file("0002_resumable_plans.sql")
