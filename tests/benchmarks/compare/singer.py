"""Configure a Singer tap and target as documented: files, discovery, selected streams."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.compare.tls_front import ADDRESS

SCHEMA = "activecampaign"
STREAMS = (
    "contacts",
    "contact_custom_fields",
    "contact_custom_field_values",
    "deals",
    "deal_custom_fields",
    "deal_custom_field_values",
    "deal_groups",
    "deal_stages",
    "users",
)


def write_configuration(
    folder: Path, environment: Mapping[str, str], tap: Path, target: Path
) -> str:
    """Write all files into the folder, and return the shell command that copies."""
    database = urlsplit(environment["DATABASE_URL"])
    _write(
        folder / "tap.json",
        {
            "api_url": f"https://{ADDRESS}",
            "api_token": environment["ACCOUNT_KEY"],
            "start_date": "2000-01-01T00:00:00Z",
            "user_agent": "benchmark",
        },
    )
    _write(
        folder / "target.json",
        {
            "host": database.hostname,
            "port": database.port,
            "user": database.username,
            "password": database.password,
            "database": database.path.removeprefix("/"),
            "default_target_schema": SCHEMA,
            "use_copy": True,
            "sanitize_null_text_characters": True,
        },
    )
    _write(folder / "catalog.json", _discover(folder, environment, tap))
    _write(folder / "state.json", {})
    extract = (
        f"{tap}/tap-activecampaign --config tap.json --catalog catalog.json --state state.json"
    )
    load = f"{target}/target-postgres --config target.json > states.jsonl"
    return f"{extract} | {load} && tail -n 1 states.jsonl > state.json"


def _discover(folder: Path, environment: Mapping[str, str], tap: Path) -> object:
    """Return the tap's catalog with the streams selected."""
    command = [str(tap / "tap-activecampaign"), "--config", "tap.json", "--discover"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    catalog = json.loads(done.stdout)
    for stream in catalog["streams"]:
        entry = next(entry for entry in stream["metadata"] if entry["breadcrumb"] == [])
        entry["metadata"]["selected"] = stream["tap_stream_id"] in STREAMS
    return catalog


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content))
