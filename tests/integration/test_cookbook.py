"""Every question of the cookbook has an answer, on an account with everything in it."""

from acsync.simulator.account import Account
from acsync.store.database import Database
from acsync.web.queries import FIRST, read_cookbook
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch

# A healthy account may have no such rows.
MAY_BE_EMPTY = {
    "contacts_with_a_value",
    "deals_without_owner",
    "duplicates_by_email",
    "unsubscribed_lately",
}


def test_every_question_is_answered(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The second sync finds records that changed, moved and were deleted."""
    assert copy_account().success
    account.change("contacts", 40)
    account.change("deals", 40)
    for name in ("contacts", "deals"):
        account.delete(name, 3)
        account.add(name, 3)
    assert copy_account().success
    questions = read_cookbook()

    answers = {question.name: len(fetch(database, question.sql)) for question in questions}

    assert len(questions) >= 30
    assert {*FIRST} <= {*answers}
    assert {name for name, rows in answers.items() if not rows} <= MAY_BE_EMPTY
    assert all(question.title.endswith("?") for question in questions)
