"""Every sideloaded row goes to the record that names it, or the dataset is refused."""

import pytest

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from tests.support import faults
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch, last_log

SHOWN = "select contact_id, tags, lists from ac_contacts order by contact_id"

SMALL = AccountOptions(contacts=200, deals=200, rate_limit=None)

OWNER_KEYS: dict[str, tuple[str, ...]] = {
    "fieldValues": ("contact", "owner"),
    "dealCustomFieldData": ("deal_id", "deal"),
}


def rename_owner_keys(key: str, *owner_keys: str) -> Fault:
    """Send a sideload whose rows name their record under another key."""

    def change(_call: Call, body: Record) -> None:
        for row in body.get(key, []):
            for owner_key in owner_keys:
                row[f"{owner_key}_ref"] = row.pop(owner_key, None)

    return faults.body_fault(f"renames-{key}-owner", change)


@pytest.mark.parametrize("options", [SMALL])
@pytest.mark.parametrize(
    ("name", "key"), [("contacts", "fieldValues"), ("deals", "dealCustomFieldData")]
)
def test_values_that_name_their_record_under_another_key_are_refused(
    name: DatasetName,
    key: str,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """Otherwise all values would be lost, even in a first sync."""
    account.faults.add(rename_owner_keys(key, *OWNER_KEYS[key]))

    assert not copy_account(name).success

    assert f"/{name} sent {key}" in last_log(database)[f"{name}_error"]
    assert " or ".join(DATASETS[name].owner_keys) in last_log(database)[f"{name}_error"]


@pytest.mark.parametrize("options", [SMALL])
@pytest.mark.parametrize(("key", "relation"), [("contactTags", "tags"), ("contactLists", "lists")])
def test_relations_under_another_key_stay_as_they_were(
    key: str, relation: str, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """They count as not sent. The rest is published with a warning."""
    assert copy_account("contacts").success
    before = fetch(database, SHOWN)
    account.faults.add(rename_owner_keys(key, "contact"))

    result = copy_account("contacts")

    assert result.success
    assert f"does not send {relation} along" in " ".join(result.datasets["contacts"].warnings)
    assert fetch(database, SHOWN) == before


@pytest.mark.parametrize("options", [SMALL])
def test_one_stray_answer_is_asked_for_again(copy_account: CopyAccount, account: Account) -> None:
    stray = rename_owner_keys("fieldValues", *OWNER_KEYS["fieldValues"])
    account.faults.add(stray.only(lambda call: call.path == "contacts" and call.offset > 0, 1))

    assert copy_account("contacts").success

    assert account.faults.hits[stray.name] == 1
