"""Keep calls to this machine away from proxies."""

import os

from acsync.setting_types import LOOPBACK

PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


def bypass_for_loopback() -> None:
    """Add this machine to NO_PROXY, for child processes too, if the environment names a proxy.

    Otherwise httpx sends calls to 127.0.0.1 to the proxy, and Prefect's clients use httpx.
    """
    if PROXIES.isdisjoint(map(str.lower, os.environ)):
        return
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    bypassed = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
    os.environ.update(no_proxy=bypassed, NO_PROXY=bypassed)
