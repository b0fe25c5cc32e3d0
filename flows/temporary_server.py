"""Start the temporary server that Prefect uses if no API is set."""

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL

from acsync.errors import AcsyncError


def require_api() -> None:
    """Start it unless an API is set; it ends with this process. Raises AcsyncError.

    Prefect (3.9.1) gives up a server that is slow to start with a traceback. The next client then
    starts a second one, and the first is never ended.
    """
    if PREFECT_API_URL.value():
        return
    server = SubprocessASGIServer()
    try:
        server.start()
    except Exception as error:  # it lets httpx's errors through
        server.stop()
        raise AcsyncError(
            f"Prefect's temporary server did not start in time ({type(error).__name__}).",
            "Try again, set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS to more than 120, or "
            "set PREFECT_API_URL to a server that runs.",
        ) from error
