"""Read which other roles can reach the stored data, besides the owner and acsync's role."""

from dataclasses import dataclass

from acsync.store.database import Database

# PostgREST, as in the public API of Supabase, serves anonymous requests as one of these roles.
API_ROLES = ("anon", "authenticated")

# Every right except SELECT counts as writing: a role that can create a trigger runs code with the
# rights of the role that writes. A grant on a table has no effect without usage of its schema.
# Grants that acsync's role inherits from a group are not reported.
OTHER_ROLES = """
    select case grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(grantee)) end as role,
        bool_or(privilege_type <> 'SELECT') as may_write,
        bool_or(exists (
            select from pg_default_acl as defaults, aclexplode(defaclacl) as by_default
            where defaclrole = relowner and defaclnamespace in (0, relnamespace)
              and defaclobjtype = case relkind when 'S' then 'S' else 'r' end
              and by_default.grantee = granted.grantee
        )) as by_default,
        array_agg(distinct format('%I.%I', nspname, relname)) as objects
    from pg_class as class
    join pg_namespace as namespace on namespace.oid = relnamespace
    cross join aclexplode(relacl) as granted
    where nspname = :schema and relname like 'ac\\_%' and relkind in ('r', 'p', 'v', 'm', 'S')
      and relowner = (
          select relowner from pg_class
          where relname = 'ac_sync_logs' and relnamespace = namespace.oid
      )
      and grantee <> relowner and has_schema_privilege(grantee, namespace.oid, 'USAGE')
      and case when grantee = 0 then true
          when pg_get_userbyid(grantee) = current_user then false
          when pg_get_userbyid(grantee) = any(:api_roles) then true
          else not exists (
              select from pg_auth_members as membership
              where roleid = grantee and pg_get_userbyid(member) = current_user
                and pg_has_role(grantee, 'USAGE')
          ) end
    group by grantee
    order by role
"""

CREATORS = """
    select case grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(grantee)) end as role
    from pg_namespace as namespace cross join aclexplode(nspacl)
    where nspname = :schema and privilege_type = 'CREATE' and grantee <> nspowner
      and (grantee = 0 or pg_get_userbyid(grantee) <> current_user)
      and not exists (
          select from pg_class
          where relname = 'ac_sync_logs' and relnamespace = namespace.oid and relowner = grantee
      )
    order by role
"""


@dataclass(frozen=True)
class OtherRole:
    """A role that can reach some objects; `by_default` if default privileges granted it."""

    name: str
    may_write: bool
    by_default: bool
    objects: tuple[str, ...]

    @property
    def is_suspect(self) -> bool:
        """Return whether the grant is probably unintended."""
        is_anybody = self.name in ("PUBLIC", *API_ROLES)
        return is_anybody or self.may_write or self.by_default


def read_other_roles(database: Database) -> list[OtherRole]:
    """Return the other roles that can read or write, with the qualified names of the objects."""
    rows = database.fetch(OTHER_ROLES, schema=database.schema, api_roles=list(API_ROLES))
    return [OtherRole(row.role, row.may_write, row.by_default, tuple(row.objects)) for row in rows]


def read_creators(database: Database) -> list[str]:
    """Return the roles, besides the owners, that can create objects in the schema."""
    return [role for (role,) in database.fetch(CREATORS, schema=database.schema)]
