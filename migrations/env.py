"""Called by Alembic: run or print the revisions in the schema that the caller names."""

from alembic import context

from acsync.store.database import quote

schema = context.config.attributes["schema"]

# CREATE SCHEMA asks for a permission on the database even where the schema is there.
CREATE_SCHEMA = (
    f"do $$ begin if to_regnamespace('{quote(schema)}') is null "
    f"then create schema {quote(schema)}; end if; end $$"
)

context.configure(
    connection=context.config.attributes.get("connection"),
    dialect_name="postgresql",
    version_table_schema=schema,
)
with context.begin_transaction():
    # Views and generated columns keep the operators that are found now: only Postgres' own.
    context.execute("set local search_path = pg_catalog, pg_temp")
    context.execute(CREATE_SCHEMA)
    context.run_migrations()
