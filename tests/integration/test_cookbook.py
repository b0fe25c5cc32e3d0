"""Every question of the cookbook has an answer, on an account with everything in it."""

import re

from acsync.datasets import DATASETS
from acsync.simulator.account import Account
from acsync.store.database import Database
from acsync.web.queries import FIRST, TOPICS, read_cookbook
from tests.support.documents import ROOT
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch

# A healthy account may have no such rows.
MAY_BE_EMPTY = {
    "changes_of_a_record",
    "contact_as_of_a_day",
    "contacts_with_a_value",
    "deals_without_owner",
    "duplicates_by_email",
    "unsubscribed_lately",
}


def test_every_question_is_answered(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The later syncs find records that changed, moved and were deleted."""
    assert copy_account().success
    for _ in range(3):
        for name in DATASETS:
            account.change(name, 100)
            account.delete(name, 3)
            account.add(name, 3)
        assert copy_account().success
    questions = [question for topic in read_cookbook().values() for question in topic]

    answers = {question.name: len(fetch(database, question.sql)) for question in questions}

    assert len(questions) >= 30
    assert {*FIRST} <= {*answers}
    assert {name for name, rows in answers.items() if not rows} <= MAY_BE_EMPTY
    assert all(question.title.endswith("?") for question in questions)


def test_deals_of_a_deleted_owner_belong_to_nobody(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Their name stays. Masked deals have neither owner nor contact."""
    copy_account()
    account.metadata.delete("users", "4")
    copy_account()
    questions = {question.name: question.sql for question in read_cookbook()["Deals"]}

    orphans = {row[0]: row[3] for row in fetch(database, questions["deals_without_owner"])}
    alone = {row[0] for row in fetch(database, questions["deals_without_contact"])}

    (open_deals,) = fetch(
        database, "select array_agg(deal_id) from ac_deals where owner_id = 4 and status = 'open'"
    )
    (masked,) = fetch(database, "select array_agg(deal_id) from ac_deals where is_masked")
    assert {*open_deals[0]} <= orphans.keys()
    assert {"Robin 4 O'Neill"} < {*orphans.values()}
    assert (orphans.keys() | alone).isdisjoint(masked[0])


def test_no_question_is_outside_the_topics() -> None:
    """A file in another folder would be on no page."""
    cookbook = ROOT / "acsync" / "web" / "cookbook"

    folders = {path.parent.relative_to(cookbook).as_posix() for path in cookbook.rglob("*.sql")}

    assert folders == {*TOPICS}


def test_the_document_has_the_questions_by_the_same_topics() -> None:
    """Each topic is a heading, with one link per question."""
    document = (ROOT / "docs" / "queries.md").read_text()
    documented = {}
    for section in document.split("\n## ")[1:]:
        if links := re.findall(r"^- \[(.*)\]\(.*/(\w+)\.sql\)$", section, re.MULTILINE):
            documented[section.splitlines()[0]] = links

    assert documented == {
        topic: [(question.title, question.name) for question in questions]
        for topic, questions in read_cookbook().items()
    }
    assert [*documented] == [*TOPICS.values()]
