"""List pipelines, stages, users and fields, including what is no longer listed."""

from dataclasses import dataclass

from acsync.models import ListingName, Record
from acsync.simulator import fields
from acsync.simulator.links import Links
from acsync.simulator.moments import STAMPS, ZERO_TIME
from acsync.simulator.options import AccountOptions

VANISHED_PIPELINE = "1"
"""Deleted: its stage is still listed, and deals still stand in it."""

_PIPELINE_LINKS = Links("dealGroups", ("dealGroupUsers", "dealGroupGroups", "stages"))
_STAGE_LINKS = Links("dealStages", ("group",))
_USER_LINKS = Links("users", ("lists", "userGroup", "dealGroupTotals", "configs"))
_ZONES = ("America/Chicago", "Europe/Berlin")


@dataclass
class Metadata:
    """The small listings as they are now; a test may change the lists while they are served."""

    listings: dict[ListingName, list[Record]]
    field_options: list[Record]
    field_relations: list[Record]


def build_metadata(options: AccountOptions) -> Metadata:
    """Invent the metadata of an account."""
    contact_fields = fields.contact_fields(options.contact_fields)
    deal_fields = fields.deal_fields(options.deal_fields)
    stages = _stages(options.stages)
    return Metadata(
        {
            "contact_fields": fields.list_contact_fields(contact_fields),
            "deal_fields": fields.list_deal_fields(deal_fields),
            "pipelines": _pipelines(stages),
            "stages": stages,
            "users": [_user(number) for number in range(1, options.users + 1)],
        },
        fields.list_options(contact_fields),
        fields.list_relations(contact_fields),
    )


def _stages(count: int) -> list[Record]:
    """Spread the stages over pipelines of four; the last stands in the vanished one."""
    pipelines = max(1, count // 4)
    return [
        _stage(
            number,
            VANISHED_PIPELINE if number == count - 1 else str(3 + 2 * (number % pipelines)),
            number // pipelines + 1,
        )
        for number in range(count)
    ]


def _stage(number: int, pipeline: str, order: int) -> Record:
    stage_id = 3 * number + 7
    return {
        "group": pipeline,
        "title": ("To contact", "In contact", "Proposal – 50 %", "Won?")[order % 4],
        "color": "19CCA3",
        "order": str(order),
        "width": "280",
        "dealOrder": "next-action DESC",
        "cardRegion1": "title",
        "cardRegion2": "next-action",
        "cardRegion3": "show-avatar",
        "cardRegion4": "contact-fullname-acctname",
        "cardRegion5": "value",
        "cdate": None if number % 3 else STAMPS[number],
        "udate": None,
        "links": _STAGE_LINKS.of(stage_id),
        "id": str(stage_id),
    }


def _pipelines(stages: list[Record]) -> list[Record]:
    listed = dict.fromkeys(stage["group"] for stage in stages)
    listed.pop(VANISHED_PIPELINE, None)
    return [_pipeline(pipeline, stages) for pipeline in listed]


def _pipeline(pipeline_id: str, stages: list[Record]) -> Record:
    return {
        "title": f"Pipeline {pipeline_id}",
        "currency": "eur" if int(pipeline_id) % 4 == 1 else "usd",
        "autoassign": "1",
        "allusers": "1",
        "allgroups": "1",
        "win_probability_initialize_date": None,
        "cdate": STAMPS[int(pipeline_id)],
        "udate": STAMPS[int(pipeline_id)],
        "source": "",
        "count": "0",
        "stages": [stage["id"] for stage in stages if stage["group"] == pipeline_id],
        "links": _PIPELINE_LINKS.of(pipeline_id),
        "id": pipeline_id,
    }


def _user(number: int) -> Record:
    admin = number == 1
    return {
        "username": "admin" if admin else f"user.{number}",
        "firstName": "Olu" if admin else f"Robin {number}",
        "lastName": "O'Neill",
        "email": f"user{number}@account.example",
        "phone": "",
        "signature": "" if admin else None,
        "localZoneid": _ZONES[number % 2],
        "password_updated_utc_timestamp": ZERO_TIME if admin else None,
        "cdate": None if admin else STAMPS[number],
        "udate": None if admin else STAMPS[number],
        "mfaEnabled": "0",
        "links": _USER_LINKS.of(number),
        "id": str(number),
    }
