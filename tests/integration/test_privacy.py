"""Fields that are left out or hashed are nowhere in the copy, its history included."""

import pytest

from acsync.datasets import Record
from acsync.errors import PrivacyDiffers
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from tests.support import faults
from tests.support.calls import on_path
from tests.support.commands import acsync
from tests.support.expected import Privacy
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, changes_of, fetch, last_log, run_incremental

SMALL = AccountOptions(
    contacts=120, deals=120, contact_fields=24, deal_fields=24, rate_limit=None, masked_share=0.02,
)  # fmt: skip
pytestmark = pytest.mark.parametrize("options", [SMALL])

KEY = "a key for these tests only"
NO_CHANGES = {"contacts": (0, 0, 0), "deals": (0, 0, 0)}


class Rules:
    """Privacy rules as settings and as the simulator knows them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def set(self, exclude: str = "", hashed: str = "", key: str = KEY, new: str = "") -> Privacy:
        """Set the variables, and return what a copy has under these rules."""
        for name, value in {
            "ACSYNC_EXCLUDE": exclude,
            "ACSYNC_HASH": hashed,
            "ACSYNC_HASH_KEY": key,
            "ACSYNC_NEW_FIELDS": new,
        }.items():
            self._monkeypatch.setenv(name, value)
        left_out, hashes = (frozenset(names.split(",")) for names in (exclude, hashed))
        return Privacy(left_out, hashes, key)


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Rules:
    """Return a function that sets privacy rules."""
    return Rules(monkeypatch)


def ids_of(account: Account, *types: str) -> list[str]:
    """Return the id of the first contact field of each type."""
    fields = account.metadata.listings["contact_fields"]
    return [next(str(each["id"]) for each in fields if each["type"] == kind) for kind in types]


def custom(account: Account, *types: str) -> str:
    """Return a list of one contact field per type."""
    return ",".join(f"contacts.customFields.{each}" for each in ids_of(account, *types))


def apply_privacy() -> str:
    """Run the command, and return what it says."""
    done = acsync("migrate", "--apply-privacy")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_excluded_and_hashed_fields_never_get_into_the_copy(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """Standard fields, custom fields of several types, tags, lists and owners."""
    deal_field = account.metadata.listings["deal_fields"][0]["id"]
    hidden = rules.set(
        "contacts.phone,contacts.tags,deals.description,deals.owner,"
        f"deals.customFields.{deal_field},{custom(account, 'text', 'date')}",
        f"contacts.email,deals.title,contacts.lastName,{custom(account, 'listbox', 'number')}",
    )

    assert copy_account().success

    assert_exact(database, account, hidden)
    assert fetch(database, "select count(*) from ac_tags") == [(0,)]
    assert fetch(database, "select count(*) from ac_owners") == [(0,)]
    assert fetch(database, "select count(phone) from ac_contacts_wide") == [(0,)]
    assert copy_account().success
    assert changes_of(database) == NO_CHANGES
    assert last_log(database)["contacts_refreshed"] == 0
    assert_exact(database, account, hidden)


def test_new_rules_rewrite_what_is_kept(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """Until then no sync runs. A removed rule brings the values back without a version."""
    assert copy_account().success
    account.change("contacts", 10)
    account.change("deals", 10)
    assert copy_account().success
    versions = fetch(database, "select count(*) from ac_contact_versions")[0][0]
    exclude = f"contacts.phone,contacts.lists,deals.description,{custom(account, 'text')}"
    hidden = rules.set(exclude, f"contacts.email,{custom(account, 'listbox')}")

    with pytest.raises(PrivacyDiffers, match=r"new: exclude contacts\.phone.*--apply-privacy"):
        copy_account()
    output = apply_privacy()

    assert f"contacts: {versions} of {versions} versions" in output
    assert_exact(database, account, hidden)
    kept = "select count(*) from ac_contact_versions where record ? 'phone' or record ? 'lists'"
    assert fetch(database, kept) == [(0,)]
    plain = "select count(*) from ac_contact_versions where email like '%@%'"
    assert fetch(database, plain) == [(0,)]
    assert copy_account().success
    assert changes_of(database) == NO_CHANGES
    assert last_log(database)["contacts_refreshed"] == 0

    everything = rules.set()
    with pytest.raises(PrivacyDiffers, match=r"removed: exclude contacts\.phone"):
        copy_account()
    apply_privacy()
    waiting = run_incremental(read_settings())
    assert waiting.calls.calls == 0
    assert "A privacy rule was removed" in str(waiting.datasets["contacts"].warnings)
    assert copy_account().success
    assert changes_of(database) == NO_CHANGES
    assert last_log(database)["contacts_refreshed"] == 120
    assert_exact(database, account, everything)
    assert not run_incremental(read_settings()).datasets["contacts"].warnings


def test_values_that_came_back_are_no_changes_after_the_next_rule(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """Earlier versions lack them, or have their hashes, and later rules rewrite these versions."""
    rules.set(custom(account, "text"), "contacts.firstName,deals.title")
    assert copy_account().success
    account.change("contacts", 12)
    account.change("deals", 12)
    assert copy_account().success
    rules.set()
    apply_privacy()
    assert copy_account().success
    key = "data_type, record_id, field"
    before = fetch(database, f"select {key} from ac_field_changes where field <> 'phone'")

    rules.set("contacts.phone,deals.description")
    apply_privacy()

    after = fetch(database, f"select {key} from ac_field_changes where field <> 'phone'")
    assert sorted(after) == sorted(before)
    assert {change[2] for change in after} >= {"last_name", "value"}


def test_another_key_replaces_all_hashes(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """Hashes of the old key equal none of the new one, so they are removed from the history."""
    names = f"contacts.email,{custom(account, 'text', 'listbox')}"
    rules.set("", names)
    assert copy_account().success
    account.change("contacts", 10)
    assert copy_account().success
    hidden = rules.set("", names, "another key for these tests")

    with pytest.raises(PrivacyDiffers, match="another ACSYNC_HASH_KEY for the contacts"):
        copy_account()
    apply_privacy()
    assert copy_account().success

    assert changes_of(database) == NO_CHANGES
    assert_exact(database, account, hidden)
    rules.set()
    apply_privacy()
    assert copy_account().success
    hidden = rules.set("", names)
    apply_privacy()
    assert_exact(database, account, hidden)
    assert KEY not in str(fetch(database, "select * from ac_privacy"))


def without_values_of(field_id: str) -> Fault:
    """Let contacts have no value of a field, as if it did not exist yet."""

    def change(_call: Call, body: Record) -> None:
        values = body.get("fieldValues", [])
        gone = [value["id"] for value in values if value["field"] == field_id]
        body["fieldValues"] = [value for value in values if value["id"] not in gone]
        for row in body.get("contacts", []):
            row["fieldValues"] = [each for each in row.get("fieldValues", []) if each not in gone]

    return faults.body_fault("has-no-such-field", change).only(on_path("contacts"))


def test_new_custom_fields_are_held_until_they_are_named(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """`acsync status` names them. The fields of the first sync are not new."""
    hidden_field = account.metadata.listings["contact_fields"].pop()
    account.faults.add(without_values_of(str(hidden_field["id"])))
    rules.set(new="hold")
    assert copy_account().success
    columns = fetch(database, "select count(*) from ac_fields")
    account.faults.clear()
    account.metadata.listings["contact_fields"].append(hidden_field)
    name = f"contacts.customFields.{hidden_field['perstag']}"

    assert copy_account().success

    held = Privacy(frozenset((f"contacts.customFields.{hidden_field['id']}",)))
    assert_exact(database, account, held)
    assert changes_of(database) == NO_CHANGES
    assert fetch(database, "select count(*) from ac_fields") == columns
    status = acsync("status").stdout
    assert f"To copy them, run: acsync migrate --accept-fields '{name}'" in status
    wrong = acsync("migrate", "--accept-fields", "contacts.customFields.OTHER")
    assert wrong.returncode == 2
    assert f"Held back are: {name}." in wrong.stderr
    assert acsync("migrate", "--accept-fields", name).returncode == 0
    assert copy_account().success
    assert changes_of(database) == NO_CHANGES
    assert_exact(database, account)
    assert acsync("status").stdout.count("held back") == 0


def test_a_name_that_no_field_has_stops_the_sync(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """It would copy what somebody wanted left out. A field that vanishes later is a warning."""
    field = account.metadata.listings["contact_fields"][0]
    field["perstag"] = "PASSPORT_NUMBER"
    rules.set("contacts.customFields.PASSPORT_NR")

    refused = copy_account().datasets["contacts"]

    assert "Did you mean contacts.customFields.PASSPORT_NUMBER?" in (refused.error or "")
    assert fetch(database, "select count(*) from ac_staged_contacts") == [(0,)]
    assert "Did you mean contacts.customFields.PASSPORT_NUMBER?" in acsync("check").stdout
    hidden = Privacy(frozenset((f"contacts.customFields.{field['id']}",)))
    rules.set("contacts.customFields.PASSPORT_NUMBER")
    assert copy_account().success
    assert_exact(database, account, hidden)
    assert "exclude contacts.customFields.PASSPORT_NUMBER" in acsync("check").stdout

    field["perstag"] = "RENAMED"
    renamed = copy_account()

    assert "which the account no longer has" in str(renamed.datasets["contacts"].warnings)
    assert_exact(database, account, hidden)


def test_changes_of_hidden_fields_make_no_version(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """The date of the record moves with them, and is brought up to date in place."""
    fields = [str(field["id"]) for field in account.metadata.listings["contact_fields"]]
    names = [f"contacts.customFields.{each}" for each in fields]
    hidden = rules.set(",".join(names))
    assert copy_account().success
    changed = account.change_part("contacts", "custom fields", 20)
    assert changed

    assert copy_account().success

    assert changes_of(database) == NO_CHANGES
    assert last_log(database)["contacts_refreshed"] == len(changed)
    assert_exact(database, account, hidden)


def test_staging_from_before_the_rules_is_not_resumed(
    copy_account: CopyAccount, account: Account, database: Database, rules: Rules
) -> None:
    """A sync that broke off has staged what is left out now."""
    account.faults.add(
        faults.status(400).only(lambda call: call.path == "contacts" and call.offset >= 60)
    )
    assert copy_account().datasets["contacts"].error
    assert fetch(database, "select count(*) from ac_staged_contacts") != [(0,)]
    account.faults.clear()
    hidden = rules.set("contacts.phone", "contacts.lastName")

    assert copy_account().success

    assert_exact(database, account, hidden)
