"""Keep by how many records an account's own count contradicts what was read."""

from migrations import run_sql_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0004_differences.sql")
