"""Deploy as an operator does, and take away from a shared Prefect server what was deployed."""

from collections.abc import Callable
from functools import partial

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tests.support import commands
from tests.support.processes import wait_for


def deploy(*words: str) -> str:
    """Run `acsync deploy`, which must succeed, and give what it said."""
    done = commands.wait(commands.start("deploy", *words))
    assert done.returncode == 0, done.stderr
    return done.stdout


def forget() -> None:
    """Delete deployments, work pools, automations and blocks, whoever made them."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True) as client,
    ):
        for deployment in client.read_deployments():
            _insist(partial(client.delete_deployment, deployment.id))
        for automation in client.read_automations():
            _insist(partial(client.delete_automation, automation.id))
        for block in client.read_block_documents(limit=None):
            _insist(partial(client.delete_block_document, block.id))
        for pool in client.read_work_pools():
            _insist(partial(client.delete_work_pool, pool.name))


def _insist(delete: Callable[[], None]) -> None:
    """Delete as soon as the server can.

    To delete, Prefect's server (3.9.1) reads first and then writes in one transaction. SQLite
    refuses the write at once where another transaction was committed in between, as with every
    event of a run that just ended; the server answers 503. Prefect's client waits 2, 4, 8, 16 and
    32 s and gives up; many tries in a row meet a gap.
    """

    def is_deleted() -> bool:
        try:
            delete()
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 503:
                raise
            return False
        return True

    wait_for("a moment to delete in", is_deleted)
