"""Describe closed_at of the wide view as that of ac_deals."""

from migrations import run_sql_file

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0024_closing_dates.sql")
