"""The status can be read from a standby of Postgres."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import migrations
from acsync.datasets import DATASETS
from acsync.local.embedded_postgres import psql_command, start_embedded, stop_embedded
from acsync.local.postgres_programs import SYSTEM_USER
from acsync.settings import read_database_settings, read_settings
from acsync.simulator.account import Account
from acsync.simulator.server import serve
from acsync.store.database import open_database
from acsync.sync.context import open_sync
from tests.support.commands import acsync, wait_for
from tests.support.postgres import own_postgres
from tests.support.syncs import copy_dataset, run_sync


@contextmanager
def standby(primary: Path, data_dir: Path) -> Iterator[str]:
    """Run a standby of the embedded server in `primary`, and yield its URL."""
    psql, _, socket_dir, *_ = shlex.split(psql_command(primary))
    data_dir.mkdir()
    owner = {"user": SYSTEM_USER, "group": SYSTEM_USER} if os.geteuid() == 0 else {}
    if owner:
        data_dir.chmod(0o777)
    command = [str(Path(psql).with_name("pg_basebackup")), "-h", socket_dir, "-U", "postgres"]
    where = ["-D", str(data_dir / "postgres"), "--write-recovery-conf", "--checkpoint=fast"]
    subprocess.run([*command, *where], check=True, cwd=data_dir, **owner)  # type: ignore[call-overload]
    try:
        yield start_embedded(data_dir)
    finally:
        stop_embedded(data_dir)


def test_a_standby_shows_the_status_also_while_a_sync_runs(
    account: Account, tmp_path: Path
) -> None:
    """Staging tables are unlogged, so a standby cannot read them."""
    with (
        own_postgres(tmp_path / "primary") as primary_url,
        serve(account) as url,
        closing(open_database(read_database_settings(POSTGRES_URL=primary_url))) as database,
    ):
        migrations.upgrade(database)
        settings = read_settings(
            AC_API_URL=url, AC_API_KEY=account.options.api_key, POSTGRES_URL=primary_url,
            AC_RATE_LIMIT=100,
        )  # fmt: skip
        assert run_sync(settings).success
        with standby(tmp_path / "primary", tmp_path / "standby") as standby_url:

            def status(where: str) -> dict[str, object]:
                done = acsync("status", "--json", POSTGRES_URL=where)
                assert done.returncode == 0, done.stderr
                answer: dict[str, object] = json.loads(done.stdout)
                return answer

            with open_sync(
                settings, tuple(DATASETS), accept_shrink=False, holder="a test"
            ) as context:
                copy_dataset(context, "contacts")
                shown = wait_for("the sync", lambda: status(standby_url)["running"])
            assert shown["sync_id"] == context.sync.sync_id
            wait_for("its end", lambda: status(standby_url) == status(primary_url))
