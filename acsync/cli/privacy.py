"""Put the privacy settings in force for what is kept, and let held custom fields in."""

from contextlib import closing

from rich.console import Console

from acsync.cli.options import read_option
from acsync.private_fields import parse_field_names
from acsync.settings import Settings
from acsync.store.database import open_database
from acsync.store.vacuum import vacuum
from acsync.sync.apply_privacy import Applied, accept_fields, apply_privacy

# A vacuum frees the space of replaced rows. Their bytes stay in the files until they are reused.
REMAINS = (
    "Backups, replicas and the server's log files still have the old values until they expire. To "
    "wipe the tables' files too, while nobody reads: vacuum full {tables};"
)


def run_privacy(console: Console, settings: Settings, apply: bool, accepted: str | None) -> None:
    """Rewrite what is kept, and say what changed; let these held fields in."""
    names = read_option("--accept-fields", parse_field_names, accepted)
    with closing(open_database(settings)) as database:
        if apply:
            with console.status("Rewriting what is kept …"):
                applied = apply_privacy(database, settings)
                # Always: an earlier run may have stopped before its vacuum.
                vacuumed = vacuum(database)
            for name, result in applied.items():
                for line in _describe(name, result):
                    console.print(line, soft_wrap=True)
            for line in vacuumed.describe_refused():
                console.print(line, soft_wrap=True)
            if not applied:
                console.print("The copy already follows the privacy settings.")
            elif any(result.changed for result in applied.values()):
                tables = ", ".join(f"{settings.schema_name}.{table}" for table in vacuumed.done)
                console.print(REMAINS.replace("{tables}", tables), soft_wrap=True)
        if names:
            accept_fields(database, names)
            console.print(f"The next full sync copies {', '.join(names)}.", soft_wrap=True)


def _describe(name: str, result: Applied) -> list[str]:
    rules = "; ".join(result.rules) or "none"
    versions = "versions, history included"
    lines = [
        f"{name}: {result.changed:,} of {result.versions:,} {versions}, were changed. Rules in "
        f"force: {rules}."
    ]
    if result.unknown:
        lines.append(f"The copy has no {', '.join(result.unknown)}; the next sync checks the name.")
    if result.returning:
        lines.append(f"The next full sync reads the {name} that a removed rule had left out.")
    return lines
