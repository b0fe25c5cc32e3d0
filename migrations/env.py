"""Run or print the revisions in the caller's schema; Alembic imports this file."""

from alembic import context

from acsync.store.database import REVISION_TABLE, SEARCH_PATH, quote
from migrations.privileges import close_new_objects, note_objects

schema = context.config.attributes["schema"]
connection = context.config.attributes.get("connection")

# CREATE SCHEMA needs a right on the database even if the schema exists.
CREATE_SCHEMA = (
    f"do $$ begin if to_regnamespace('{quote(schema)}') is null "
    f"then create schema {quote(schema)}; end if; end $$"
)

context.configure(
    connection=connection,
    dialect_name="postgresql",
    version_table=REVISION_TABLE,
    version_table_schema=schema,
)
with context.begin_transaction():
    context.execute(SEARCH_PATH)
    context.execute(CREATE_SCHEMA)
    context.execute(note_objects(schema))
    for statement in context.config.attributes.get("first", ()):
        context.execute(statement)
    context.run_migrations()
    context.execute(close_new_objects(schema))
