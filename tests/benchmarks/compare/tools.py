"""Describe the compared tools: how each is set up and started, and how its copy is read."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import migrations
from acsync.datasets import DatasetName
from acsync.local.environment import simulated_environment
from acsync.settings import read_database_settings
from acsync.store.database import open_database
from tests.benchmarks.compare.singer import SCHEMA, write_configuration
from tests.benchmarks.compare.tls_front import tls_front
from tests.benchmarks.compare.venvs import install
from tests.support.commands import ACSYNC
from tests.support.prefect_server import QUIET, prefect_server


@dataclass(frozen=True)
class Site:
    """The surroundings of a tool: an account, an empty database, and a folder for its files."""

    account_url: str
    api_key: str
    calls_per_second: float
    database_url: str
    folder: Path


@dataclass(frozen=True)
class Program:
    """The command that copies, and its environment."""

    command: Sequence[str]
    environment: Mapping[str, str]


Prepare: TypeAlias = Callable[[Site], AbstractContextManager[Program]]


@dataclass(frozen=True)
class Tool:
    """One column of the table.

    `prepare` installs and sets up the tool, which is not measured. `records` selects the id and
    the columns of `copy_check.COLUMNS` of each dataset. `values` selects contact, title and value
    of each custom field value, and is None if the tool copies none.
    """

    key: str
    title: str
    prepare: Prepare
    records: Mapping[DatasetName, str]
    values: str | None


# acsync


@contextmanager
def _acsync(site: Site) -> Iterator[Program]:
    with prefect_server(site.folder / "prefect") as url:
        yield _acsync_program(site, url)


@contextmanager
def _acsync_alone(site: Site) -> Iterator[Program]:
    program = _acsync_program(site, "")
    # Prefect's database is set up once, as acsync's tables are.
    upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(upgrade, env=program.environment, check=True, capture_output=True, text=True)
    yield program


def _acsync_program(site: Site, prefect_url: str) -> Program:
    environment = {
        **simulated_environment(site.account_url, site.api_key, site.calls_per_second, site.folder),
        **QUIET,
        "PREFECT_HOME": str(site.folder / "prefect"),
        "PREFECT_API_URL": prefect_url,
        "POSTGRES_URL": site.database_url,
    }
    settings = read_database_settings(
        POSTGRES_URL=site.database_url, ACSYNC_SCHEMA="public", ACSYNC_DATA_DIR=site.folder
    )
    with closing(open_database(settings)) as database:
        migrations.upgrade(database)
    return Program([*ACSYNC, "sync"], environment)


# The others


@contextmanager
def _dlt(site: Site) -> Iterator[Program]:
    command = [str(install("dlt") / "python"), str(Path(__file__).with_name("dlt_pipeline.py"))]
    yield Program(command, _environment(site, RUNTIME__DLTHUB_TELEMETRY="false"))


@contextmanager
def _singer(site: Site) -> Iterator[Program]:
    tap, target = install("tap"), install("target")
    with tls_front(site.account_url, site.folder) as front:
        environment = _environment(site, **front)
        line = write_configuration(site.folder, environment, tap, target)
        yield Program(["bash", "-o", "pipefail", "-c", line], environment)


@contextmanager
def _airbyte(site: Site) -> Iterator[Program]:
    # The connector's program does not start on Python 3.11 (airbyte-cdk 1.0.0: "mutable default").
    # PyAirbyte runs its manifest instead, as it does with other connectors.
    python, source = install("airbyte") / "python", install("airbyte-source").parent
    manifest = next(source.glob("lib/*/site-packages/source_activecampaign/manifest.yaml"))
    with tls_front(site.account_url, site.folder) as front:
        command = [str(python), str(Path(__file__).with_name("airbyte_pipeline.py"))]
        # Offline, it uses the installed connector and does not look for another version.
        settings = {"AIRBYTE_OFFLINE_MODE": "1", "SOURCE_MANIFEST": str(manifest)}
        yield Program(command, _environment(site, **settings, **front))


def _environment(site: Site, **settings: str) -> dict[str, str]:
    return {
        **os.environ,
        "ACCOUNT_URL": site.account_url,
        "ACCOUNT_KEY": site.api_key,
        "DATABASE_URL": site.database_url,
        "PIPELINES_DIR": str(site.folder),
        "DO_NOT_TRACK": "1",
        **settings,
    }


ACSYNC_TOOL = Tool(
    "acsync",
    "acsync",
    _acsync,
    {
        "contacts": "select contact_id, email, phone, first_name, last_name from ac_contacts",
        "deals": "select deal_id, title, value_minor, currency, record ->> 'status' from ac_deals",
    },
    "select contact_id, field.value ->> 'fieldTitle', field.value ->> 'value' "
    "from ac_contacts, jsonb_each(record -> 'customFields') as field",
)
TOOLS = (
    ACSYNC_TOOL,
    replace(
        ACSYNC_TOOL, key="acsync-alone", title="acsync, no Prefect server", prepare=_acsync_alone
    ),
    Tool(
        "dlt",
        "dlt",
        _dlt,
        {
            "contacts": "select id, email, phone, first_name, last_name "
            "from activecampaign.contacts",
            "deals": "select id, title, value, currency, status from activecampaign.deals",
        },
        "select contact, title, value from activecampaign.field_values "
        "join activecampaign.fields on fields.id = field_values.field",
    ),
    Tool(
        "singer",
        "Singer",
        _singer,
        {
            "contacts": f"select id, email, phone, first_name, last_name from {SCHEMA}.contacts",
            "deals": f"select id, title, value, currency, status from {SCHEMA}.deals",
        },
        f"select contact, title, value from {SCHEMA}.contact_custom_field_values as field_value "
        f"join {SCHEMA}.contact_custom_fields as field on field.id = field_value.field",
    ),
    Tool(
        "airbyte",
        "PyAirbyte",
        _airbyte,
        {
            "contacts": 'select id, email, phone, "firstname", "lastname" '
            "from activecampaign.contacts",
            "deals": "select id, title, value::numeric, currency, status from activecampaign.deals",
        },
        None,
    ),
)
