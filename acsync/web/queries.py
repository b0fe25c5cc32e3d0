"""What the dashboard shows of the views, and three queries to begin with."""

from acsync.store.status import SyncStatus

# Run by a test.
QUERIES = (
    (
        "Pipeline value by stage",
        """\
select pipeline, stage, currency, count(*) as deals, sum(value) as value
from ac_deals where status = 'open'
group by pipeline, stage, currency order by pipeline, stage, currency;""",
    ),
    (
        "Contacts with their deals",
        """\
select c.email, c.first_name, c.last_name, d.title, d.status, d.value, d.currency
from ac_contacts as c join ac_deals as d using (contact_id)
order by d.updated_at desc limit 100;""",
    ),
    (
        "What changed in the last sync",
        """\
select data_type, change, record_id from ac_changes
where sync_id = (select sync_id from ac_latest_sync);""",
    ),
)


def views(status: SyncStatus) -> list[tuple[str, str, str]]:
    """Return name, meaning and rows of each view."""
    rows = {name: f"{data.record_count:,}" for name, data in status.published.items()}
    return [
        ("ac_contacts", "contact", rows.get("contacts", "0")),
        ("ac_deals", "deal", rows.get("deals", "0")),
        (
            "ac_contacts_wide",
            "contact, typed",
            rows.get("contacts", "0"),
        ),
        ("ac_deals_wide", "deal, typed", rows.get("deals", "0")),
        ("ac_fields", "custom field, and its column", "–"),
        ("ac_deal_stages", "stay of a deal in a stage", "–"),
        ("ac_freshness", "dataset, with its age", str(len(rows))),
        ("ac_changes", "record added, updated or deleted by the kept syncs", "–"),
        ("ac_sync_data", "up to 1,000 records as JSON", "–"),
        ("ac_latest_sync", "the last finished sync", "1" if status.latest else "0"),
        ("ac_sync_statistics", "the last seven days", "1"),
    ]
