"""Check whether the command of this container answers: python -m acsync.web.health.

The image's health check runs it. It asks a worker, `acsync serve` or a Prefect server. Any other
command, such as a single sync, is healthy while it runs.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

TIMEOUT_SECONDS = 5.0
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # compared, not bound


def find_address(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Return the URL at which a command answers if it works, or None if it answers at none."""
    if "--with-healthcheck" in command:
        # A worker answers 503 if it has not polled for runs in minutes.
        return f"http://127.0.0.1:{environment.get('PREFECT_WORKER_WEBSERVER_PORT', '8080')}/health"
    if "serve" in command:
        # This page needs neither Postgres nor a password.
        host, port, path = "127.0.0.1", "8000", "static/icon.svg"
    elif "server" in command:
        host = environment.get("PREFECT_SERVER_API_HOST", "127.0.0.1")
        port, path = environment.get("PREFECT_SERVER_API_PORT", "4200"), "api/health"
    else:
        return None
    host = _read_option(command, "--host", host)
    host = "127.0.0.1" if host in ANY_ADDRESS else host
    url_host = f"[{host}]" if ":" in host else host
    return f"http://{url_host}:{_read_option(command, '--port', port)}/{path}"


def _read_option(command: Sequence[str], name: str, default: str) -> str:
    """Return the value of `--name VALUE` or `--name=VALUE`."""
    for argument, following in zip(command, [*command[1:], default], strict=True):
        if argument == name:
            return following
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    return default


def answers(url: str) -> bool:
    """Return whether a URL of this container answers with success, asked without a proxy."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def main(process_id: str = "1") -> int:
    """Check a process, by default the first one of the container; return the exit status."""
    arguments = Path("/proc", process_id, "cmdline").read_bytes().split(b"\0")
    url = find_address([os.fsdecode(argument) for argument in arguments], os.environ)
    return 0 if url is None or answers(url) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
