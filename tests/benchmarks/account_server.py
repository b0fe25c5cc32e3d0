"""Serve a simulated account in a separate process, and count its calls."""

import gc
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.requests import LoggedCall
from acsync.simulator.server import serve
from tests.support.calls import Churn


class AccountServer:
    """An account in another process; `AC_API_URL` is its `url`."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._turn = pipe, threading.Lock()
        self.url: str = pipe.recv()

    def act(self, method: str, *arguments: Any) -> Any:
        """Call a method of the account, such as `change`, and return what it returns."""
        with self._turn:
            self._pipe.send((method, arguments))
            return self._pipe.recv()

    def edit(self, function: Callable[[Account], None]) -> None:
        """Call a function of a module with the account, in its process."""
        self.act("edit", function)

    def take_calls(self) -> list[LoggedCall]:
        """Return the calls that arrived since the last call of this method."""
        calls: list[LoggedCall] = self.act("take_calls")
        return calls

    @contextmanager
    def churn(self, per_second: float) -> Iterator[None]:
        """Add, change and delete records at this rate until the block ends."""
        self.act("start_churn", per_second)
        try:
            yield
        finally:
            self.act("stop_churn")


@contextmanager
def account_server(
    options: AccountOptions, prepare: Callable[[Account], None] | None = None
) -> Iterator[AccountServer]:
    """Serve the account until the block ends; `prepare` is called with it in its process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(options, prepare, theirs), daemon=True)
    process.start()
    theirs.close()  # or a process that ends goes unnoticed
    try:
        yield AccountServer(ours)
    finally:
        process.terminate()
        process.join()


def _serve(
    options: AccountOptions, prepare: Callable[[Account], None] | None, pipe: Connection
) -> None:
    """Serve until the process is ended, and act on each message."""
    # Timestamps of calls must be exact while other threads write pages.
    sys.setswitchinterval(0.0005)
    account = Account(options)
    if prepare:
        prepare(account)
    # Each garbage collection of a whole account would delay calls by 50 ms.
    gc.freeze()
    churning = ExitStack()
    with serve(account) as url:
        pipe.send(url)
        while True:
            method, arguments = pipe.recv()
            if method == "take_calls":
                pipe.send([*account.statistics.log])
                account.statistics.log.clear()
            elif method == "edit":
                (function,) = arguments
                pipe.send(function(account))
            elif method == "start_churn":
                churning.enter_context(Churn(account, *arguments))
                pipe.send(None)
            elif method == "stop_churn":
                churning.close()
                pipe.send(None)
            else:
                pipe.send(getattr(account, method)(*arguments))
