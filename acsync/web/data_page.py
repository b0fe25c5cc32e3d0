"""Arrange the data dictionary: views by topic, with their keys and joins, and a picture of them."""

from dataclasses import dataclass

from acsync.store.dictionary import Dictionary, View

# The columns that are different in each row. A test compares them with real rows, and the picture
# and the joins with docs/data.md.
KEYS: dict[str, tuple[str, ...]] = {
    "ac_contacts": ("contact_id",),
    "ac_contacts_wide": ("contact_id",),
    "ac_contact_tags": ("contact_id", "tag_id"),
    "ac_contact_lists": ("contact_id", "list_id"),
    "ac_deals": ("deal_id",),
    "ac_deals_wide": ("deal_id",),
    "ac_deal_stages": ("deal_id", "entered_at"),
    "ac_deal_events": ("id",),
    "ac_field_choices": ("data_type", "record_id", "field_id", "choice"),
    "ac_fields": ("data_type", "field_id", "type"),
    "ac_pipelines": ("id",),
    "ac_stages": ("id",),
    "ac_owners": ("id",),
    "ac_lists": ("id",),
    "ac_tags": ("id",),
    "ac_currencies": ("code",),
    "ac_contact_history": ("contact_id", "valid_from"),
    "ac_deal_history": ("deal_id", "valid_from"),
    "ac_changes": ("sync_id", "data_type", "record_id"),
    "ac_field_changes": ("sync_id", "data_type", "record_id", "field", "was", "became"),
    "ac_list_changes": ("sync_id", "contact_id", "list_id"),
    "ac_deleted": ("data_type", "record_id"),
    "ac_freshness": ("data_type",),
    "ac_sync_data": ("id",),
    "ac_sync_logs": ("sync_id",),
    "ac_latest_sync": ("sync_id",),
    "ac_sync_statistics": (),
    "ac_verifications": ("data_type",),
}

TOPICS: dict[str, tuple[str, ...]] = {
    "Contacts": ("ac_contacts", "ac_contacts_wide", "ac_contact_tags", "ac_contact_lists"),
    "Deals": ("ac_deals", "ac_deals_wide", "ac_deal_stages", "ac_deal_events"),
    "Custom fields": ("ac_fields", "ac_field_choices"),
    "Names": ("ac_pipelines", "ac_stages", "ac_owners", "ac_lists", "ac_tags", "ac_currencies"),
    "History": (
        *("ac_changes", "ac_contact_history", "ac_deal_history", "ac_field_changes"),
        *("ac_list_changes", "ac_deleted"),
    ),
    "Syncs": (
        *("ac_freshness", "ac_sync_logs", "ac_latest_sync", "ac_sync_statistics"),
        *("ac_verifications", "ac_sync_data"),
    ),
}
OTHERS = "More"


@dataclass(frozen=True)
class Join:
    """Many rows of `many` have in `column` the key `key` of one row of `one`."""

    many: str
    column: str
    one: str
    key: str


JOINS = tuple(
    Join(*names)
    for names in (
        ("ac_deals", "contact_id", "ac_contacts", "contact_id"),
        ("ac_deals", "stage_id", "ac_stages", "id"),
        ("ac_deals", "pipeline_id", "ac_pipelines", "id"),
        ("ac_deals", "owner_id", "ac_owners", "id"),
        ("ac_stages", "pipeline_id", "ac_pipelines", "id"),
        ("ac_deal_stages", "deal_id", "ac_deals", "deal_id"),
        ("ac_deal_stages", "stage_id", "ac_stages", "id"),
        ("ac_deal_history", "deal_id", "ac_deals", "deal_id"),
        ("ac_contact_history", "contact_id", "ac_contacts", "contact_id"),
        ("ac_contact_tags", "contact_id", "ac_contacts", "contact_id"),
        ("ac_contact_tags", "tag_id", "ac_tags", "id"),
        ("ac_contact_lists", "contact_id", "ac_contacts", "contact_id"),
        ("ac_contact_lists", "list_id", "ac_lists", "id"),
        ("ac_field_choices", "field_id", "ac_fields", "field_id"),
    )
)

# The place of each box of the picture: its column and its row.
PLACES: dict[str, tuple[int, int]] = {
    "ac_tags": (0, 0),
    "ac_lists": (0, 1),
    "ac_fields": (0, 2),
    "ac_contact_tags": (1, 0),
    "ac_contact_lists": (1, 1),
    "ac_field_choices": (1, 2),
    "ac_contact_history": (2, 0),
    "ac_contacts": (2, 1),
    "ac_deal_history": (3, 0),
    "ac_deals": (3, 1),
    "ac_deal_stages": (3, 2),
    "ac_pipelines": (4, 0),
    "ac_stages": (4, 1),
    "ac_owners": (4, 2),
}
COLUMN_WIDTH, ROW_HEIGHT = 172, 84


@dataclass(frozen=True)
class Box:
    """A box of the picture: a view, the first columns of its key, and the middle of the box."""

    name: str
    key: str
    x: int
    y: int


@dataclass(frozen=True)
class Topic:
    """Some views under a title."""

    title: str
    views: tuple[View, ...]


def make_boxes() -> dict[str, Box]:
    """Return the boxes of the picture by view."""
    return {
        name: Box(
            name,
            ", ".join(KEYS[name][:2]),
            (2 * column + 1) * COLUMN_WIDTH // 2,
            (2 * row + 1) * ROW_HEIGHT // 2,
        )
        for name, (column, row) in PLACES.items()
    }


def make_topics(dictionary: Dictionary) -> list[Topic]:
    """Return the views by topic; those without a topic come last."""
    views = dict(dictionary.views)
    topics = [
        Topic(title, tuple(views.pop(name) for name in names if name in views))
        for title, names in TOPICS.items()
    ]
    return [*topics, Topic(OTHERS, tuple(views.values()))] if views else topics
