"""List the custom fields, pipelines, stages, users and lists of an account, as the API does."""

from dataclasses import dataclass, field

from acsync.datasets import ListingName, Record
from acsync.simulator.values import CHOICES, Field, Template, load

# This pipeline was deleted. A stage is still listed under it, and deals are still in that stage.
DELETED_PIPELINE = "1"
STAGE_TITLES = ("In contact", "Proposal – 50 %", "Won?", "To contact")
LIST_NAMES = ("Newsletter", "Kunden – Großhandel", 'Events & "Talks"', "")

_ROWS = {kind: Template(row) for kind, row in load("metadata").items()}


@dataclass
class Metadata:
    """The small listings as they are now; tests may change them while they are served.

    The user of the key cannot see the `hidden_pipelines`.
    """

    listings: dict[ListingName, list[Record]]
    field_options: list[Record]
    field_relations: list[Record]
    deleted: dict[ListingName, list[Record]] = field(default_factory=dict)
    hidden_pipelines: list[Record] = field(default_factory=list)

    def delete(self, name: ListingName, row_id: str) -> None:
        """Delete a row, such as a pipeline; a copy keeps its last known name."""
        (row,) = (row for row in self.listings[name] if row["id"] == row_id)
        self.listings[name].remove(row)
        self.deleted.setdefault(name, []).append(row)

    def ever(self, name: ListingName) -> list[Record]:
        """Return the rows of a listing, and those that were deleted."""
        return [*self.listings[name], *self.deleted.get(name, ())]


def build_metadata(
    contact_fields: list[Field], deal_fields: list[Field], stages: int, users: int, lists: int
) -> Metadata:
    """Return the listings of an account; fields come newest first, not in the order of ids."""
    stage_rows = _stages(stages)
    return Metadata(
        {
            "contact_fields": [_contact_field(*slot) for slot in enumerate(contact_fields)][::-1],
            "deal_fields": [_deal_field(*slot) for slot in enumerate(deal_fields)][::-1],
            "pipelines": _pipelines(stage_rows),
            "stages": stage_rows,
            "users": [_user(number) for number in range(1, users + 1)],
            "lists": [_list(number) for number in range(1, lists + 1)],
        },
        [option for field in contact_fields for option in _options(field)],
        [
            _ROWS["relation"].new(slot) | {"field": str(field.id)}
            for slot, field in enumerate(contact_fields, 1)
        ],
    )


def _contact_field(slot: int, field: Field) -> Record:
    return _ROWS["contact_field"].new(field.id) | {
        "title": field.label or "Nameless",
        "type": field.type,
        "perstag": field.label.upper().replace(" ", "_"),
        "ordernum": str(slot + 1),
        "options": [option["id"] for option in _options(field)],
        "relations": [str(slot + 1)],
    }


def _options(field: Field) -> list[Record]:
    """Return the options that `/fields` sideloads; value and label differ."""
    return [
        _ROWS["option"].new(10 * field.id + place)
        | {"field": str(field.id), "orderid": str(place + 1)}
        | {"value": value, "label": CHOICES[value]}
        for place, value in enumerate(field.choices)
    ]


def _deal_field(slot: int, field: Field) -> Record:
    return _ROWS["deal_field"].new(field.id) | {
        "fieldLabel": field.label,
        "fieldType": field.type,
        "fieldOptions": list(field.choices) or None,
        "fieldDefaultCurrency": "usd" if field.type == "currency" else None,
        "displayOrder": slot or -1,
        "personalization": f"DEAL_FIELD_{field.id}",
    }


def _stages(count: int) -> list[Record]:
    """Spread the stages over pipelines of four; the last belongs to the deleted one."""
    pipelines = max(1, count // 4)
    rows = [
        _ROWS["stage"].new(3 * number + 7)
        | {"group": str(3 + 2 * (number % pipelines)), "order": str(number // pipelines + 1)}
        | {"title": STAGE_TITLES[number // pipelines % 4]}
        for number in range(count)
    ]
    for last in rows[-1:]:
        last["group"] = DELETED_PIPELINE
    return rows


def _pipelines(stages: list[Record]) -> list[Record]:
    return [
        _ROWS["pipeline"].new(pipeline)
        | {"title": f"Pipeline {pipeline}", "currency": "eur" if int(pipeline) % 4 == 1 else "usd"}
        | {"stages": [stage["id"] for stage in stages if stage["group"] == pipeline]}
        for pipeline in dict.fromkeys(stage["group"] for stage in stages)
        if pipeline != DELETED_PIPELINE
    ]


def _list(number: int) -> Record:
    name = LIST_NAMES[(number - 1) % len(LIST_NAMES)]
    return _ROWS["list"].new(number) | {"name": name, "stringid": f"list-{number}"}


def _user(number: int) -> Record:
    return _ROWS["user"].new(number) | {
        "username": "admin" if number == 1 else f"user.{number}",
        "firstName": "Olu" if number == 1 else f"Robin {number}",
        "email": f"user{number}@account.example",
    }
