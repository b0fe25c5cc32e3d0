"""Refresh records in place, keep history and names of pipelines, stages, owners, lists and tags."""

from migrations import run_sql_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0013_content.sql")
