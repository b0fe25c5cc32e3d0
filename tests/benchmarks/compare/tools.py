"""Describe what is compared: how each tool is set up and started, and how its copy is read."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import migrations
from acsync.cli.up.environment import simulated_environment
from acsync.settings import read_database_settings
from acsync.store.database import open_database
from tests.benchmarks.compare.singer import SCHEMA, write_configuration
from tests.benchmarks.compare.tls_front import tls_front
from tests.benchmarks.compare.venvs import install, version
from tests.support.commands import ACSYNC
from tests.support.prefect_server import QUIET, prefect_server


@dataclass(frozen=True)
class Site:
    """What a tool is given: an account, an empty database, and a folder for its own files."""

    account_url: str
    api_key: str
    rate: float
    database_url: str
    folder: Path


@dataclass(frozen=True)
class Program:
    """What is started and measured."""

    command: Sequence[str]
    environment: Mapping[str, str]


Ready: TypeAlias = Callable[[Site], AbstractContextManager[Program]]


@dataclass(frozen=True)
class Tool:
    """One column of the table.

    `ready` installs and sets up, which is not measured. `contacts` selects id, address, phone,
    first and last name, `deals` id, title, value in cents, currency and status, `values` the id
    of a contact, title and value of each of its custom fields: None where none are copied.
    """

    key: str
    title: str
    ready: Ready
    contacts: str
    deals: str
    values: str | None
    custom_fields: str
    repeats: str
    limits: str


# acsync


@contextmanager
def _with_server(site: Site) -> Iterator[Program]:
    with prefect_server(site.folder / "prefect") as url:
        yield _acsync(site, url)


@contextmanager
def _alone(site: Site) -> Iterator[Program]:
    program = _acsync(site, "")
    # Prefect's own database is made once, as ours is.
    upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(upgrade, env=program.environment, check=True, capture_output=True, text=True)
    yield program


def _acsync(site: Site, prefect_url: str) -> Program:
    own = simulated_environment(site.account_url, site.api_key, site.rate, site.folder)
    home = {"PREFECT_HOME": str(site.folder / "prefect"), "POSTGRES_URL": site.database_url}
    own |= {**home, **QUIET, "PREFECT_API_URL": prefect_url}
    settings = read_database_settings(
        POSTGRES_URL=site.database_url, ACSYNC_SCHEMA="public", ACSYNC_DATA_DIR=site.folder
    )
    with closing(open_database(settings)) as database:
        migrations.upgrade(database)
    return Program([*ACSYNC, "sync"], own)


# The others


def _environment(site: Site, **own: str) -> dict[str, str]:
    given = {
        "ACCOUNT_URL": site.account_url,
        "ACCOUNT_KEY": site.api_key,
        "DATABASE_URL": site.database_url,
        "PIPELINES_DIR": str(site.folder),
    }
    return {**os.environ, **given, "DO_NOT_TRACK": "1", **own}


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
    # The connector's own program does not start on Python 3.11 (airbyte-cdk 1.0.0: "mutable
    # default"). PyAirbyte runs its manifest instead, as it does with those of its registry.
    python, source = install("airbyte") / "python", install("airbyte-source").parent
    manifest = next(source.glob("lib/*/site-packages/source_activecampaign/manifest.yaml"))
    with tls_front(site.account_url, site.folder) as front:
        command = [str(python), str(Path(__file__).with_name("airbyte_pipeline.py"))]
        # Offline, it asks no registry for another connector than the one that is installed.
        own = {"AIRBYTE_OFFLINE_MODE": "1", "SOURCE_MANIFEST": str(manifest)}
        yield Program(command, _environment(site, **own, **front))


ACSYNC_CONTACTS = "select contact_id, email, phone, first_name, last_name from ac_contacts"
ACSYNC_DEALS = "select deal_id, title, value_minor, currency, record ->> 'status' from ac_deals"
ACSYNC_VALUES = (
    "select contact_id, field.value ->> 'fieldTitle', field.value ->> 'value' "
    "from ac_contacts, jsonb_each(record -> 'customFields') as field"
)
ACSYNC_NOTES = (
    "in each record, by key; typed columns in `ac_contacts_wide`",
    "whole copy, in one transaction; deletions, history and stages are kept",
    "paced to the limit; a copy that is not complete is not published",
)
TOOLS = (
    Tool(
        "acsync",
        "acsync",
        _with_server,
        ACSYNC_CONTACTS,
        ACSYNC_DEALS,
        ACSYNC_VALUES,
        *ACSYNC_NOTES,
    ),
    Tool(
        "acsync-alone",
        "acsync without a Prefect server",
        _alone,
        ACSYNC_CONTACTS,
        ACSYNC_DEALS,
        ACSYNC_VALUES,
        *ACSYNC_NOTES,
    ),
    Tool(
        "dlt",
        version("dlt").replace("[postgres]", ""),
        _dlt,
        "select id, email, phone, first_name, last_name from activecampaign.contacts",
        "select id, title, value, currency, status from activecampaign.deals",
        "select contact, title, value from activecampaign.field_values "
        "join activecampaign.fields on fields.id = field_values.field",
        "by a join; a second walk of all pages reads them",
        "whole tables are replaced",
        "none: one call at a time; it waits when refused",
    ),
    Tool(
        "singer",
        f"{version('tap')}, {version('target')}",
        _singer,
        f"select id, email, phone, first_name, last_name from {SCHEMA}.contacts",
        f"select id, title, value, currency, status from {SCHEMA}.deals",
        f"select contact, title, value from {SCHEMA}.contact_custom_field_values as one "
        f"join {SCHEMA}.contact_custom_fields as field on field.id = one.field",
        "by a join; their own collection is read, a row a value",
        "changes since the last run are merged; deletions never arrive",
        "five calls a second, fixed in the tap",
    ),
    Tool(
        "airbyte",
        f"PyAirbyte ({version('airbyte')}), {version('airbyte-source')}",
        _airbyte,
        'select id, email, phone, "firstname", "lastname" from activecampaign.contacts',
        "select id, title, value::numeric, currency, status from activecampaign.deals",
        None,
        "no: neither values nor fields, stages and users are streams",
        "whole tables are replaced",
        "none: two streams at a time, pages of 20; it waits when refused",
    ),
)
