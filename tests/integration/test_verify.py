"""`acsync verify` finds what is wrong in the copy, and nothing else."""

import pytest

from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.store.database import Database
from acsync.sync.account_reader import open_reader
from acsync.sync.spot_check import SpotCheck, check_sample, decide
from tests.support.fixtures import CopyAccount
from tests.support.postgres import execute


def look(database: Database, sample: int = 10_000, name="contacts") -> SpotCheck:
    with open_reader(read_settings(), database) as (reader, clock):
        check = check_sample(reader, clock, database, name, sample)
    assert check
    return check


@pytest.mark.parametrize("name", ["contacts", "deals"])
def test_a_true_copy(copy_account: CopyAccount, account: Account, database: Database, name, monkeypatch) -> None:
    monkeypatch.setenv("AC_RATE_LIMIT", "1000")
    copy_account()
    check = look(database, 300, name)
    print(check.counts, check.undecided, check.fields_of("different"))
    assert 0
