"""Run the syncs of all deployments."""

import sys

import typer


def worker(context: typer.Context) -> None:
    """Run the syncs of all deployments until Ctrl-C; options as `prefect worker start`."""
    from flows.worker import run_worker

    has_pool = any(argument.startswith(("--pool", "-p")) for argument in context.args)
    pool = [] if has_pool else ["--pool", "acsync"]
    sys.exit(run_worker([*pool, *context.args]))
