"""Keep forgotten people out by keyed hashes."""

from migrations import run_sql_file

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0023_forgotten.sql")
