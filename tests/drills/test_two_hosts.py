"""Two hosts share only Postgres; if one dies or is cut off, the other one takes over."""

import ctypes
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import migrations
from acsync.local.embedded_postgres import pg_ctl
from acsync.simulator.account import Account
from acsync.simulator.server import serve
from acsync.store.database import Database
from tests.support import commands
from tests.support.calls import in_copying, on_call
from tests.support.commands import ACSYNC, require_program, wait_for
from tests.support.postgres import Postgres, own_postgres
from tests.support.prefect_server import free_port, prefect_server
from tests.support.syncs import EXPIRE, LEFT_OVERS, SNAPSHOT, assert_exact, fetch

HUB_ADDRESS = "10.77.0.1"

NEW_NETWORK = 0x40000000
"""CLONE_NEWNET; `os.setns` came with Python 3.12."""

NOT_PERMITTED = (
    "This test needs network namespaces, which are not permitted here. Run it as root on Linux. "
    "A container needs --cap-add SYS_ADMIN --cap-add NET_ADMIN."
)


@dataclass(frozen=True)
class Host:
    """A network and a hostname, held by the process `pid`; `cable` leads to the hub."""

    name: str
    pid: int
    cable: str = ""

    def enter(self) -> list[str]:
        """Return the arguments that run a command on this host."""
        return ["nsenter", f"--target={self.pid}", "--net", "--uts"]

    def ip(self, *arguments: str) -> None:
        """Run `ip` of iproute2 on this host."""
        ip = require_program("ip", "iproute2")
        subprocess.run([*self.enter(), ip, *arguments], check=True)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start an acsync command on this host, with the environment of this process."""
        return subprocess.Popen(
            [*self.enter(), *ACSYNC, *arguments],
            env={**os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread, its new sockets and its children into the network of this host."""
        with Path("/proc/thread-self/ns/net").open("rb") as outside:
            _set_network(Path(f"/proc/{self.pid}/ns/net"))
            try:
                yield
            finally:
                _set_network(Path(f"/proc/self/fd/{outside.fileno()}"))


@contextmanager
def made_hosts(*names: str) -> Iterator[tuple[Host, ...]]:
    """Make a hub and hosts with these names, and yield all of them, the hub first."""
    with ExitStack() as stack:
        hub, *hosts = (stack.enter_context(_made_host(name)) for name in ("hub", *names))
        for number, host in enumerate(hosts, start=2):
            _connect(hub, host, f"10.77.0.{number}")
        yield hub, *hosts


@contextmanager
def _made_host(name: str) -> Iterator[Host]:
    """Keep the namespaces of a host in a process until the block ends."""
    unshare, ip = require_program("unshare", "util-linux"), require_program("ip", "iproute2")
    script = f"hostname {name} && {ip} link set lo up && echo made && exec sleep infinity"
    holder = subprocess.Popen(
        [unshare, "--net", "--uts", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "made\n":
            pytest.skip(NOT_PERMITTED)
        yield Host(name, holder.pid, f"to-{name}")
    finally:
        holder.kill()
        holder.communicate()


def _connect(hub: Host, host: Host, address: str) -> None:
    ends = ("type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
    hub.ip("link", "add", host.cable, *ends)
    for end, cable, here, there in (
        (hub, host.cable, HUB_ADDRESS, address),
        (host, "eth0", address, HUB_ADDRESS),
    ):
        end.ip("address", "add", here, "peer", there, "dev", cable)
        end.ip("link", "set", cable, "up")


def _set_network(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as network:
        if libc.setns(network.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns")


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
        url = stack.enter_context(own_postgres(tmp_path))
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
        opened = stack.enter_context(closing(postgres.open(url)))
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
