"""Keep default privileges from opening the tables that a migration creates.

Postgres applies `alter default privileges` to each new object. Hosts have used it to let the roles
of their public API read and write every table in `public`. A migration therefore revokes all grants
on the objects that it has just created, so only the owner has rights until somebody grants more.
Older objects keep their grants, because Postgres cannot tell default grants from intended ones.
"""

from acsync.store.database import quote

# Transaction-local, so that the printed SQL can use it as well.
SETTING = "acsync.objects"

# Functions that run with their caller's rights are harmless.
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
    """Return SQL that remembers the schema's objects until the transaction ends."""
    return NOTE.replace("{schema}", quote(schema))


def close_new_objects(schema: str) -> str:
    """Return SQL that revokes all grants on objects created since `note_objects`."""
    return CLOSE.replace("{schema}", quote(schema))
