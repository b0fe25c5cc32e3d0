"""Records are published even if the names that explain them cannot be read."""

import pytest

from acsync.datasets import DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from tests.support import faults
from tests.support.calls import for_newest_page, on_path
from tests.support.fixtures import CopyAccount
from tests.support.syncs import compare_copy, fetch

pytestmark = pytest.mark.parametrize(
    "options", [AccountOptions(contacts=200, deals=60, users=30, lists=30, rate_limit=None)]
)

SHOWN = "select contact_id, tags, lists from ac_contacts order by contact_id"
OWNERS = "select deal_id, record -> 'ownerData' from ac_deals order by deal_id"

# The optional listing of each dataset, and the columns it explains.
EXPLAINED: dict[DatasetName, tuple[str, str]] = {
    "contacts": ("lists", SHOWN),
    "deals": ("users", OWNERS),
}


def on_page(path: str, *, later: bool) -> Fault:
    """Return a fault for the first page of a listing, or only for the later ones."""
    return Fault(path, lambda call: call.path == path and bool(call.offset) == later)


@pytest.mark.parametrize("name", list(EXPLAINED))
@pytest.mark.parametrize(
    ("status", "later"), [(500, False), (504, True), (404, False), (422, True), (400, False)]
)
def test_a_listing_that_cannot_be_read_keeps_its_last_rows(
    name: DatasetName,
    status: int,
    later: bool,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """15 minutes of all deals are worth more than an owner's name."""
    path, shown = EXPLAINED[name]
    assert copy_account(name).success
    before = fetch(database, shown)
    failing = faults.status(status).only(on_page(path, later=later).when)
    account.faults.add(failing)

    result = copy_account(name)

    assert account.faults.hits[failing.name]
    assert result.success
    assert fetch(database, shown) == before
    (warning,) = result.datasets[name].warnings
    assert f"known {path} are kept: /{path}:" in warning
    assert f"status {status}" in warning


def with_relations(call: Call) -> bool:
    """Accept the calls of slices that include tags or lists."""
    is_of_slice = call.path == "contacts" and not for_newest_page(call)
    return is_of_slice and (call.includes_any("contactTags") or call.includes_any("contactLists"))


@pytest.mark.parametrize("status", [504, 400])
def test_relations_that_fail_while_copying_keep_what_was_known(
    status: int, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The contacts are new, but their tags and lists are those of the last sync."""
    assert copy_account("contacts").success
    before = fetch(database, SHOWN)
    account.faults.add(faults.status(status).only(with_relations))

    result = copy_account("contacts")

    assert result.success
    assert fetch(database, SHOWN) == before
    (warning,) = result.datasets["contacts"].warnings
    for part in (
        "tags and lists",
        "/contacts?",
        f"status {status}",
        "leave ACSYNC_SIDELOADS empty",
    ):
        assert part in warning
    account.faults.clear()
    assert copy_account("contacts").datasets["contacts"].warnings == ()
    assert compare_copy(database, account)["contacts"].exact


def test_relations_that_were_read_stay_if_later_pages_fail(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A first sync reads them with the newest page at the start, but not at the end."""
    newest = set(account.ids("contacts")[-20:])
    account.faults.add(faults.status(400).only(with_relations))

    assert copy_account("contacts").success

    known = {contact for contact, tags, _ in fetch(database, SHOWN) if tags is not None}
    assert known >= newest
    assert len(known) < 200


def options_are(options: object) -> Fault:
    """Replace the list of choices of each deal field."""

    def change(rows: list[Record]) -> None:
        for row in rows:
            row["fieldOptions"] = options

    return faults.rows_fault("options-are", change).only(
        lambda call: call.path == "dealCustomFieldMeta"
    )


@pytest.mark.parametrize("odd", [7, True, {"0": "a", "3": "b"}, "letters"])
def test_choices_that_are_no_list_do_not_stop_the_deals(
    odd: object, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    account.faults.add(options_are(odd))
    account.faults.add(faults.names_values_as(odd).only(on_path("deals"), share=0.3))

    assert copy_account("deals").success

    count = "select count(*) from ac_deals"
    assert fetch(database, count) == [(60,)]


def nameless_tags(*tags: str) -> Fault:
    """Send these tags without a name."""

    def change(_call: Call, body: Record) -> None:
        for tag in body.get("tags", []):
            tag["tag"] = None if tag["id"] in tags else tag["tag"]

    return faults.body_fault("nameless-tags", change)


def test_a_tag_without_a_name_is_no_tag(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    account.faults.add(nameless_tags("3", "4"))

    assert copy_account("contacts").success

    names = {name for _, tags, _ in fetch(database, SHOWN) for name in tags}
    assert not names & {"None", "Tag 3", "Tag 4"}
    assert "Tag 2" in names
