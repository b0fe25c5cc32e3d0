"""Make views and functions survive renames of fields and schemas."""

from migrations import run_sql_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0011_stable_functions.sql")
