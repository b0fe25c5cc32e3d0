"""Add long views of tags, lists and choices, and the labels of choices."""

from migrations import run_sql_file

revision = "0016"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0016_long_views.sql")
