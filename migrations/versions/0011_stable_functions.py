"""Make views and functions that survive renames of fields and schemas."""

from migrations import run_sql_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql_file("0011_stable_functions.sql")
