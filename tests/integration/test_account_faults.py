"""What an account can do to a sync in a year: each is survived, or recognised and named."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from acsync.cli.comparison import compare
from acsync.errors import AcsyncError, CallFailed, Incomplete, PaginationError
from acsync.models import DATASETS, DatasetName
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.fault_injection import Fault
from acsync.store.database import Database
from acsync.store.snapshot import published_ids, published_records
from tests.support import data_faults, transport_faults
from tests.support.calls import nth_call, on_call, on_path
from tests.support.churn import Churn
from tests.support.fixtures import Sync
from tests.support.in_memory_walk import TIRELESS, Reading, account_of

BOTH = pytest.mark.parametrize("name", list(DATASETS))


def bad_network(seed: int, *more: Fault) -> Fault:
    """Mix what proxies, networks and tired servers do."""
    return transport_faults.one_of(
        "bad-network",
        transport_faults.html(502),
        transport_faults.status(503),
        transport_faults.reset(),
        transport_faults.empty_body(),
        transport_faults.cut_off(),
        transport_faults.forbidden(),
        *more,
        seed=seed,
    )


def error_of(database: Database, name: DatasetName) -> str:
    """Give what the log says about a dataset of the last sync."""
    sql = f"select {name}_error from ac_sync_logs order by id desc limit 1"
    with database.begin() as connection:
        return str(connection.execute(text(sql)).scalar_one())


# Change while reading


@pytest.mark.parametrize("options", [AccountOptions(contacts=3000, deals=3000, rate_limit=None)])
@BOTH
def test_people_at_work_and_clumps_of_hundreds_lose_nobody(
    name: DatasetName,
    sync: Sync,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three imports and deletions of hundreds meet the walk at its start, middle and end."""
    monkeypatch.setenv("LIMIT_PER_PAGE", "100")
    walk = on_path(name)
    places = iter([slice(0, 300), slice(900, 1200), slice(-300, -1)])

    def change_hundreds() -> None:
        account.delete(name, account.ids(name)[next(places)])
        account.add(name, 150)

    for nth in (1, 15, 31):
        on_call(account, nth_call(walk, nth), change_hundreds)
    with Churn(account, per_second=20, seed=5) as churn:
        assert sync(name).is_completed()

    published = published_ids(database, name)
    assert next(places, None) is None
    assert len(published) == len(set(published))
    assert churn.existed_throughout(name) <= set(published) <= account.ever(name)
    assert account.statistics.by_path[name] <= 3000 / 100 * 1.1 + 3 * 18


# A bad network


@BOTH
@pytest.mark.parametrize("share", [0.03, 0.1, 0.5])
def test_a_bad_network_gives_the_whole_or_an_error(name: DatasetName, share: float) -> None:
    """Three retries mend one answer in ten; half of all is too much, and then it is said."""
    outcomes = [walk_through(name, share, seed) for seed in range(40)]

    exact = outcomes.count("exact")
    assert set(outcomes) <= {"exact", "CallFailed", "CallRefused"}
    assert exact == 40 if share < 0.1 else exact >= 36 if share == 0.1 else exact < 20


def walk_through(name: DatasetName, share: float, seed: int) -> str:
    """Read an account through a bad network; gives the error's name, or whether all was read."""
    account = account_of(300)
    stall = transport_faults.stall(TIRELESS.read_timeout_seconds + 1)
    refusals = (
        transport_faults.too_many(0),
        transport_faults.too_many_until(-5),
        transport_faults.too_many(3600),
    )
    account.faults = type(account.faults)(seed)
    account.faults.add(bad_network(seed, stall, *refusals).only(share=share))
    try:
        read = Reading(account, name, 20).run()
    except AcsyncError as error:
        return type(error).__name__
    return "exact" if read == set(account.ids(name)) else "wrong"


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_a_sync_through_a_bad_network_is_exact(
    share: float, sync: Sync, account: Account, database: Database
) -> None:
    """The whole way: waits and pauses are real here, and shared by all threads."""
    refusals = transport_faults.too_many(None), transport_faults.too_many_until(1)
    account.faults.add(bad_network(7, transport_faults.stall(1), *refusals).only(share=share))

    assert sync().is_completed()

    assert account.faults.hits["bad-network"] >= 2
    assert all(one.exact for one in compare(database, account).values())


# Answers that lie


@BOTH
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (data_faults.add_to_total(7), Incomplete, "counts 307 .*, 300 were read"),
        (data_faults.add_to_total(-7), Incomplete, "counted 293 .*, 300 were read"),
        (data_faults.total_is(10**15), CallFailed, "cannot be trusted"),
        (data_faults.total_is(-5), CallFailed, "a total that is no count"),
        (data_faults.total_is("many"), CallFailed, "a total that is no count"),
        (data_faults.ignore_parameter("orders"), PaginationError, r"ignores orders\[id\]"),
        (data_faults.ignore_parameter("include"), PaginationError, "ignores include"),
        (data_faults.unsorted_rows(), PaginationError, r"ignores orders\[id\]"),
        (data_faults.repeat_page(), PaginationError, "ignores id_greater|repeats itself"),
        (data_faults.record_without_id(), PaginationError, "without a usable id"),
        (data_faults.drop_sideload(), CallFailed, "without .* of its"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_a_lie_is_recognised_and_named(
    name: DatasetName, fault: Fault, error: type[Exception], words: str
) -> None:
    """Each looks like a good answer, with status 200."""
    account = account_of(300)
    account.faults.add(fault)

    with pytest.raises(error, match=words):
        Reading(account, name, 20).run()

    assert account.statistics.calls < 60


def test_a_server_that_ignores_the_cursor_is_recognised() -> None:
    """The walk would read the first page for ever."""
    account = account_of(300)
    account.faults.add(data_faults.ignore_parameter("id_greater"))

    with pytest.raises(PaginationError, match="ignores id_greater"):
        Reading(account, "contacts", 20).run()


def test_a_server_that_ignores_the_offset_is_recognised() -> None:
    """Deals are walked by offset, each page sharing a record with the one before."""
    account = account_of(300)
    account.faults.add(data_faults.ignore_parameter("offset"))

    with pytest.raises(PaginationError, match="repeats itself"):
        Reading(account, "deals", 20).run()


@BOTH
@pytest.mark.parametrize(
    "fault",
    [
        data_faults.ignore_parameter("limit"),
        data_faults.page_cap(50),
        data_faults.drop_rows(1),
        data_faults.without_meta(),
        data_faults.total_is(None),
    ],
    ids=lambda fault: fault.name,
)
def test_pages_that_are_only_smaller_or_uncounted_are_read_exactly(
    name: DatasetName, fault: Fault
) -> None:
    """Only received rows move the reader, and only ids prove that all were read."""
    account = account_of(300)
    account.faults.add(fault)

    assert Reading(account, name, 100).run() == set(account.ids(name))


LIES: list[Callable[[], Fault]] = [
    *(partial(data_faults.add_to_total, number) for number in (3, -3)),
    *(
        partial(data_faults.ignore_parameter, key)
        for key in ("orders", "offset", "id_greater", "limit")
    ),
    data_faults.repeat_page,
    partial(data_faults.page_cap, 7),
    partial(data_faults.drop_rows, 2),
    data_faults.unsorted_rows,
    data_faults.empty_dataset,
]


@BOTH
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie().name)
def test_a_server_that_lies_now_and_then_is_never_believed(
    name: DatasetName, lie: Callable[[], Fault]
) -> None:
    """Harder to see than one that always lies; that nothing is left at all, the shrink sees."""
    for seed in range(12):
        account = account_of(150)
        account.faults = type(account.faults)(seed)
        account.faults.add(lie().only(share=(0.1, 0.4, 0.8)[seed % 3]))
        try:
            read = Reading(account, name, 10).run()
        except AcsyncError:
            continue
        assert read == set(account.ids(name)) or not read, seed


# A key that lost a permission


def forget_definitions(account: Account) -> None:
    """Let the key see no field any more, while records still have values of them."""
    account.metadata.listings["contact_fields"].clear()
    account.metadata.listings["deal_fields"].clear()


@pytest.mark.parametrize("options", [AccountOptions(contacts=120, deals=120, rate_limit=None)])
@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (
            lambda account: account.faults.add(
                data_faults.empty_dataset().only(on_path(*DATASETS))
            ),
            "are gone from the account",
        ),
        (lambda account: account.faults.add(data_faults.fields_vanish()), "have none any more"),
        (forget_definitions, "have none any more"),
    ],
    ids=["suddenly empty", "values vanished", "definitions vanished"],
)
def test_what_the_key_cannot_see_any_more_is_published_only_when_accepted(
    lose: Callable[[Account], object], words: str, sync: Sync, account: Account, database: Database
) -> None:
    """All of these answers are well formed, and would empty everybody's columns."""
    assert sync().is_completed()
    before = {name: contents_of(database, name) for name in DATASETS}
    lose(account)

    assert sync().is_failed()
    for name in DATASETS:
        assert words in error_of(database, name)
        assert f"--only {name} --accept-shrink" in error_of(database, name)
        assert contents_of(database, name) == before[name]

    assert sync(accept_shrink=True).is_completed()
    assert contents_of(database, "contacts") != before["contacts"]


@pytest.mark.parametrize("options", [AccountOptions(contacts=0, deals=120, rate_limit=None)])
def test_deals_that_are_all_masked_are_named_and_keep_their_bodies_when_accepted(
    sync: Sync, account: Account, database: Database
) -> None:
    """Nothing would be lost, but nothing would be true any more either."""
    assert sync("deals").is_completed()
    account.mask(account.ids("deals"))

    assert sync("deals").is_failed()
    assert "that could be seen are masked now" in error_of(database, "deals")

    assert sync("deals", accept_shrink=True).is_completed()
    assert sync("deals").is_completed()
    kept = contents_of(database, "deals")
    assert sum(record["value"] is not None for record in kept.values() if "value" in record) > 110


def contents_of(database: Database, name: DatasetName) -> dict[int, Any]:
    return published_records(database, name, published_ids(database, name))
