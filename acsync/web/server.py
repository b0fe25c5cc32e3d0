"""Run the HTTP service so that stalled connections cannot hold all its file descriptors."""

import asyncio
import logging
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

# A connection is closed if it sends no whole request head, or takes no byte of an answer, for
# this long. Uvicorn 0.54 waits without a limit for both.
STALL_SECONDS = 30

# A request gets this long to finish when the service ends; one that waits for a sync is cut off.
END_SECONDS = 3

# Connections that the kernel keeps until they are accepted.
QUEUE = 2048
LOG_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Uvicorn's server; it closes connections that stall for `stall_seconds`."""

    def __init__(self, app: FastAPI, stall_seconds: int = STALL_SECONDS) -> None:
        config = uvicorn.Config(
            app,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=END_SECONDS,
            # asyncio tries to accept this many connections in a row. If no file descriptor is
            # left, it logs each of them and tries each again a second later.
            backlog=1,
        )
        super().__init__(config)
        self._stall_seconds = stall_seconds
        self._waiting: dict[tuple[Any, Any], float] = {}
        self._logged_at = float("-inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with a long queue although connections are accepted singly."""
        asyncio.get_running_loop().set_exception_handler(self._handle_exception)
        for listener in sockets or []:
            if sys.platform == "linux":  # cuts off clients that take no byte of an answer
                milliseconds = self._stall_seconds * 1000
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(QUEUE)

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections once per second."""
        if counter % 10 == 0:
            self._close_half_requests()
        return await super().on_tick(counter)

    def _close_half_requests(self) -> None:
        """Close what has waited too long for a head; each answer starts the wait again."""
        now = asyncio.get_running_loop().time()
        self._waiting = {
            (connection, cycle): self._waiting.get((connection, cycle), now)
            for connection in self.server_state.connections
            if (cycle := getattr(connection, "cycle", None)) is None or cycle.response_complete
        }
        for (connection, _), since in self._waiting.items():
            if now - since > self._stall_seconds:
                connection.transport.close()

    def _handle_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log a failing accept once per minute; leave other errors to asyncio."""
        if not context["message"].startswith("socket.accept()"):
            loop.default_exception_handler(context)
        elif loop.time() - self._logged_at > LOG_SECONDS:
            self._logged_at = loop.time()
            logger.warning(
                "new connections have to wait (%s): %d are open. Raise the limit of open files, "
                "or put a reverse proxy in front",
                context["exception"],
                len(self.server_state.connections),
            )
