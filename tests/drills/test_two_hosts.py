"""Two hosts share only Postgres; if one dies or is cut off, the other one takes over."""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

import migrations
from acsync.local.embedded_postgres import pg_ctl
from acsync.simulator.account import Account
from acsync.simulator.server import serve
from acsync.store.database import Database
from tests.support import commands
from tests.support.calls import in_copying, on_call
from tests.support.commands import wait_for
from tests.support.hosts import HUB_ADDRESS, Host, made_hosts
from tests.support.postgres import Postgres, own_postgres
from tests.support.prefect_server import free_port, prefect_server
from tests.support.syncs import EXPIRE, LEFT_OVERS, SNAPSHOT, assert_exact, fetch

ACCOUNT_PORT = 8765
HELD = (
    r"sync-\d+ has been running since .* started by flow run .* on host-a\. Wait until "
    r"it ends; if it has crashed, its lease expires within two minutes\.\n"
)


def listen(data_dir: Path) -> None:
    """Restart the embedded Postgres so that it also listens on the hub's address."""
    folder = data_dir / "postgres"
    with (folder / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.77.0.0/24 trust\n")
    pg_ctl(data_dir, "-m", "fast", "-o", f"-h {HUB_ADDRESS} -k {folder}", "restart")


@pytest.fixture
def hosts() -> Iterator[tuple[Host, ...]]:
    """Create a hub and two hosts, and enter the hub."""
    with made_hosts("host-a", "host-b") as (hub, *hosts), hub.entered():
        yield hub, *hosts


@pytest.fixture
def database(
    hosts: tuple[Host, ...],
    account: Account,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Database]:
    """Serve Postgres and Prefect in the hub, and the account on the loopback of each host."""
    with ExitStack() as stack:
        server = stack.enter_context(own_postgres(tmp_path))
        listen(tmp_path)
        monkeypatch.setenv("PREFECT_SERVER_API_HOST", "0.0.0.0")  # noqa: S104  # of the hub
        port = free_port()
        stack.enter_context(prefect_server(tmp_path / "prefect", port))
        for host in hosts[1:]:
            with host.entered():
                stack.enter_context(serve(account, ACCOUNT_PORT))
        monkeypatch.setenv("PREFECT_API_URL", f"http://{HUB_ADDRESS}:{port}/api")
        monkeypatch.setenv("POSTGRES_URL", f"postgresql://postgres@{HUB_ADDRESS}/acsync")
        monkeypatch.setenv("AC_API_URL", f"http://127.0.0.1:{ACCOUNT_PORT}")
        monkeypatch.setenv("AC_API_KEY", account.options.api_key)
        monkeypatch.setenv("LIMIT_PER_PAGE", "20")
        monkeypatch.setenv("AC_RATE_LIMIT", "100")
        opened = stack.enter_context(closing(postgres.open(server.url)))
        migrations.upgrade(opened)
        yield opened


def start_held(host: Host, account: Account) -> "tuple[subprocess.Popen[str], Callable[[], None]]":
    """Start a sync that pauses in the middle of copying until it is released."""
    copying, released = threading.Event(), threading.Event()

    def hold() -> None:
        copying.set()
        released.wait(60)

    on_call(account, in_copying, hold)
    process = host.start("sync")
    assert copying.wait(60)
    return process, released.set


def sync_unless_held(host: Host) -> "subprocess.CompletedProcess[str] | None":
    """Run a sync; return None if another sync holds the lease.

    A host that is cut off in the middle of staging has the lease's row locked, until Postgres ends
    its transaction after a minute.
    """
    done = commands.wait(host.start("sync"))
    return None if done.returncode == 3 else done


def test_a_host_takes_over_when_the_other_dies(
    hosts: tuple[Host, ...], account: Account, database: Database
) -> None:
    """Until then it is refused, with the name of the other host. Only the lease shows the death."""
    _, host_a, host_b = hosts
    held, release = start_held(host_a, account)

    turned_away = commands.wait(host_b.start("sync"))
    held.kill()
    commands.wait(held)
    release()
    fetch(database, EXPIRE)
    done = commands.wait(host_b.start("sync"))

    assert turned_away.returncode == 3
    assert re.fullmatch(HELD, turned_away.stderr), turned_away.stderr
    assert done.returncode == 0, done.stderr
    assert_exact(database, account)
    assert fetch(database, "select overall_success from ac_sync_logs order by id") == [
        (False,),
        (True,),
    ]
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]


def test_a_host_that_was_cut_off_publishes_nothing(
    hosts: tuple[Host, ...], account: Account, database: Database
) -> None:
    """It cannot know that another host took over, but the lease in Postgres shows it."""
    hub, host_a, host_b = hosts
    cut_off, release = start_held(host_a, account)

    hub.ip("link", "set", host_a.cable, "down")
    fetch(database, EXPIRE)
    done = wait_for("the other host to take over", lambda: sync_unless_held(host_b))
    published = fetch(database, SNAPSHOT)
    hub.ip("link", "set", host_a.cable, "up")
    release()
    late = commands.wait(cut_off)

    assert done.returncode == 0, done.stderr
    assert late.returncode == 1
    assert "lost its lease" in late.stderr
    assert fetch(database, SNAPSHOT) == published
    assert_exact(database, account)
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]
