"""A process imports only what it uses."""

import subprocess
import sys


def test_a_run_of_a_worker_imports_no_server() -> None:
    """Prefect's server and FastAPI would cost every sync two seconds and 60 MB."""
    script = "import sys, flows.sync_activecampaign; print(*sys.modules)"

    imported = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert {"fastapi", "prefect.server.api", "pandas"}.isdisjoint(imported.stdout.split())
