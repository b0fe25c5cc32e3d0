"""Plan a dataset, or go on with the walk of a sync that died a short while ago.

What may differ between the two is in the basis: the account, the page size, and the fields,
pipelines and owners that its records were explained with.
"""

import hashlib
import json
import logging
from dataclasses import asdict

from acsync.activecampaign.planning import Plan, Slice
from acsync.models import DATASETS, DatasetName
from acsync.store.resuming import adopt_staging, keep_plan
from acsync.store.sync_log import record_plan
from flows.copying import plan_dataset, read_covered
from flows.session import SyncSession

logger = logging.getLogger(__name__)


def plan_or_resume(session: SyncSession, name: DatasetName) -> Plan:
    """Give the plan of a dataset; of a resumed one, the first plan, by which the gate judges."""
    basis = _basis(session, name)
    kept = adopt_staging(session.database, session.sync, name, basis)
    if kept is None:
        plan = plan_dataset(session, name)
        keep_plan(session.database, session.sync, name, basis, json.dumps(asdict(plan)))
        return plan
    plan = _read_plan(kept)
    session.resumed[name] = frozenset(read_covered(session, name))
    record_plan(session.database, session.sync, name, plan.total or 0)
    logger.info("%d slices of %s were staged already", len(session.resumed[name]), name)
    return plan


def _basis(session: SyncSession, name: DatasetName) -> str:
    explained_by = {need: session.listings[need] for need in DATASETS[name].needs}
    basis = [session.settings.account_url, session.settings.page_size, explained_by]
    text = json.dumps(basis, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _read_plan(text: str) -> Plan:
    plan = json.loads(text)
    return Plan(**plan | {"slices": tuple(Slice(**part) for part in plan["slices"])})
