"""The daily verification runs as a flow, and fails if the copy is wrong."""

import pytest

from acsync.simulator.account import Account
from acsync.store.database import Database
from flows.verify_activecampaign import verify_activecampaign
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch


@pytest.mark.usefixtures("prefect_api")
def test_the_flow_fails_and_names_the_records_that_differ(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Its state has what an alert shows: ids, fields and what to do, never values."""
    copy_account()
    deal = next(each for each in account.ids("deals") if each not in account.masked_ids())
    edit = """
        update ac_deal_versions set record = record || '{"title": "c4nary"}' where record_id = :id
    """
    fetch(database, edit, id=deal)

    failed = verify_activecampaign(sample=700, return_state=True)
    fetch(database, "update ac_deal_versions set hash = '' where record_id = :id", id=deal)
    copy_account()
    passed = verify_activecampaign(sample=50, return_state=True)

    assert failed.name == "Failed"
    assert "1 record differs from the account" in (failed.message or "")
    assert f"deals {deal} (title)" in (failed.message or "")
    assert "c4nary" not in (failed.message or "")
    assert passed.name == "Completed"
    assert "50 contacts and 50 deals compared, none is different." in (passed.message or "")
    assert fetch(database, "select data_type, different from ac_verifications order by 1") == [
        ("contacts", 0),
        ("deals", 0),
    ]
