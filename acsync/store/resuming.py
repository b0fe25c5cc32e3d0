"""Let a sync go on where a dead one stopped: keep the plan of a walk beside what it staged.

Staged slices are intervals of ids that were read, at whatever moment; with the plan they were
cut from, and compared with the same snapshot, they prove as much for the successor.
"""

from acsync.models import DatasetName, Sync
from acsync.store.database import Database
from acsync.store.lease import require_lease
from acsync.store.sql import run

STAGING = ("ac_staged_records", "ac_staged_slices", "ac_staged_plans")

FORGET = """
    delete from {schema}.{table}
    where data_type = :data_type and sync_no not in (:dead, :number)
"""

ADOPT = """
    update {schema}.{table} set sync_no = :number
    where data_type = :data_type and sync_no <> :number
"""


def keep_plan(database: Database, sync: Sync, name: DatasetName, basis: str, plan: str) -> None:
    """Keep a plan, as JSON; `basis` names all that must be the same for somebody to go on."""
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        run(
            connection,
            """
            insert into {schema}.ac_staged_plans (data_type, sync_no, basis, plan, planned_at)
            values (:data_type, :sync_no, :basis, cast(:plan as jsonb), clock_timestamp())
            on conflict (data_type) do update
            set sync_no = excluded.sync_no, basis = excluded.basis, plan = excluded.plan,
                planned_at = excluded.planned_at
            """,
            name,
            sync_no=sync.number,
            basis=basis,
            plan=plan,
        )


def adopt_staging(database: Database, sync: Sync, name: DatasetName, basis: str) -> str | None:
    """Make a predecessor's staging this sync's, and give its plan; None where none can be used.

    What is stale or was published went when the sync started; what has another basis goes here.
    """
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        found = run(
            connection,
            """
            select sync_no, plan::text as plan from {schema}.ac_staged_plans
            where data_type = :data_type and basis = :basis
            """,
            name,
            basis=basis,
        ).one_or_none()
        numbers = {"number": sync.number, "dead": found.sync_no if found else sync.number}
        for table in STAGING:
            run(connection, FORGET.replace("{table}", table), name, **numbers)
            run(connection, ADOPT.replace("{table}", table), name, **numbers)
        return found.plan if found else None
