"""Simulate hosts on this machine, each with a network, a hostname and a cable to a hub.

Each is a Linux namespace that ends with its last process. Processes on the hub reach the other
hosts; the machine itself does not.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import ACSYNC
from tests.support.debian import require_program

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
