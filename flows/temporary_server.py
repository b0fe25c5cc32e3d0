"""Start the temporary server that Prefect uses if no API is set."""

from prefect.settings import PREFECT_API_URL

from acsync.errors import AcsyncError


def require_api() -> None:
    """Start a server unless an API is set; raise AcsyncError if it is too slow.

    The server ends with this process. If a server starts too slowly, Prefect 3.9.1 prints a
    traceback, starts a second one for the next client, and never stops the first.
    """
    if PREFECT_API_URL.value():
        return
    # This takes two seconds and 60 MB, which runs of a worker need not pay.
    from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415

    server = SubprocessASGIServer()
    try:
        server.start()
    except Exception as error:  # also httpx's errors
        server.stop()
        raise AcsyncError(
            f"Prefect's temporary server did not start in time ({type(error).__name__}).",
            "Try again, set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS to more than 120, or "
            "set PREFECT_API_URL to a running server.",
        ) from error
