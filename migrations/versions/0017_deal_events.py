"""Add the events of deals: their changes of stage and status from before the first sync."""

from migrations import run_sql_file

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0017_deal_events.sql")
