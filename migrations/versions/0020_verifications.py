"""Keep the last result of `acsync verify`."""

from migrations import run_sql_file

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0020_verifications.sql")
