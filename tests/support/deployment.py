"""Deploy as an operator does, and clean a shared Prefect server afterwards."""

from prefect.client.orchestration import get_client

from tests.support import commands
from tests.support.prefect_server import PatientTransport


def deploy(*words: str) -> str:
    """Run `acsync deploy`, which must succeed, and return its output."""
    done = commands.wait(commands.start("deploy", *words))
    assert done.returncode == 0, done.stderr
    return done.stdout


def forget() -> None:
    """Delete all deployments, work pools, automations and blocks."""
    patient = {"transport": PatientTransport()}
    with get_client(sync_client=True, httpx_settings=patient) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for block in client.read_block_documents(limit=None):
            client.delete_block_document(block.id)
        for pool in client.read_work_pools():
            client.delete_work_pool(pool.name)
