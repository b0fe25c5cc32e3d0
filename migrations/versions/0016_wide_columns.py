"""Store the typed columns of the wide views, and what each version changed."""

from migrations import run_sql_file

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0016_wide_columns.sql")
