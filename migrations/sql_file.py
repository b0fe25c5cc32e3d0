"""Run a revision's SQL file, or print it: the same text either way."""

from importlib.resources import files

from alembic import op

from acsync.store.sql import quote


def run_sql_file(name: str) -> None:
    """Run `migrations/versions/NAME`, with `{schema}` standing for the quoted schema."""
    context = op.get_context()
    text = files("migrations").joinpath("versions", name).read_text(encoding="utf-8")
    sql = text.replace("{schema}", quote(context.opts["version_table_schema"]))
    if context.as_sql:
        context.impl.static_output(sql)
    elif context.connection is not None:
        # Without parameters psycopg2 leaves every % as it is.
        context.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
