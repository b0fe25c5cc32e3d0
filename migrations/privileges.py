"""Keep default privileges from opening the tables that a migration makes.

Postgres grants what `alter default privileges` says on each new object. Hosts have used it to let
the roles of their public API read and write whatever is made in `public`. A migration revokes it
from what it has just made, so nobody but the owner has a right that was not granted on purpose.
Objects that were there before keep their grants: Postgres does not tell one kind from the other.
"""

from acsync.store.database import quote

# Transaction-local, so that the printed SQL can use it as well.
SETTING = "acsync.objects"

# A function that runs with its caller's rights opens nothing.
OBJECTS = """
    select oid, relowner as owner, relacl as acl, oid::regclass::text as name
    from pg_class
    where relnamespace = '{schema}'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
    union all
    select oid, proowner, coalesce(proacl, acldefault('f', proowner)),
        'function ' || oid::regprocedure::text
    from pg_proc where pronamespace = '{schema}'::regnamespace and prosecdef
"""

NOTE = f"""
    do $note$ begin
        perform set_config('{SETTING}', array_agg(oid)::text, true) from ({OBJECTS}) as existing;
    end $note$
"""

CLOSE = f"""
    do $close$
    declare
        known constant oid[] := nullif(current_setting('{SETTING}', true), '')::oid[];
        object record;
    begin
        for object in
            select distinct name, case grantee
                when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as grantee
            from ({OBJECTS}) as made, aclexplode(acl)
            where oid <> all (coalesce(known, '{{}}')) and grantee <> owner
        loop
            execute 'revoke all on ' || object.name || ' from ' || object.grantee;
        end loop;
    end $close$
"""


def note_objects(schema: str) -> str:
    """Return SQL that notes, for this transaction, what the schema holds."""
    return NOTE.replace("{schema}", quote(schema))


def close_new_objects(schema: str) -> str:
    """Return SQL that leaves only the owner a right on what was made since `note_objects`."""
    return CLOSE.replace("{schema}", quote(schema))
