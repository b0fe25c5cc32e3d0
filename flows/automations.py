"""Prefect automations: alert on failed syncs and stale data, and mark lost runs as crashed.

The messages are Jinja templates that Prefect's server fills in. The message of the run's state
holds the details that only the sync knows. Runs that crash leave no such message, so the account
and the age of the data come from a Prefect variable that each sync updates.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument, StateType
from prefect.events.actions import (
    ActionTypesOrUnknown,
    ChangeFlowRunState,
    DoNothing,
    SendNotification,
)
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from acsync.schedule import stale_after
from acsync.spelling import spell
from flows.links import page_url

Labels: TypeAlias = dict[str, str | list[str]]

FAILED_AUTOMATION = "acsync: sync failed"
STALE_AUTOMATION = "acsync: data is stale"
LOST_AUTOMATION = "acsync: run is lost"
NOT_STARTED_AUTOMATION = "acsync: run is lost before its start"
AUTOMATIONS = (FAILED_AUTOMATION, STALE_AUTOMATION, LOST_AUTOMATION, NOT_STARTED_AUTOMATION)

HEARTBEAT_SECONDS = 60
LOST_AFTER = timedelta(seconds=3 * HEARTBEAT_SECONDS)

# A healthy run may send no event for minutes before it starts, while a container image is pulled
# or a cluster adds a machine: 400 MB at 6 Mbit/s take nine minutes.
NOT_STARTED_AFTER = timedelta(minutes=10)
NOT_STARTED_REASON = f"The run did not start within {NOT_STARTED_AFTER.seconds // 60} minutes"

SUCCEEDED = "Completed"
FAILED_STATES = ("Failed", "Crashed", "TimedOut")

# Together with the states above, these start the clock for stale data. Without a worker, runs
# become late; without a free slot, they are cancelled.
OTHER_STATES = ("Late", "Pending", "Cancelled")

# A run in one of these states holds a slot of its deployment, but sends no heartbeats yet.
# `Cancelling` holds one too: Prefect's server (3.9.1) makes it `Cancelled` after five minutes, and
# refuses any other state.
STARTING_STATES = ("Pending", "Submitting", "InfrastructurePending")

# How Prefect (3.9.1) describes a run that got SIGTERM, as when its worker is stopped.
STOPPED_MESSAGE = "Execution was aborted by a termination signal."

# A run sends its first heartbeat as soon as it is `Running`, but it may die before that.
BEATING = ("Running", "heartbeat")

# The tag of full syncs. Those of the deployment `incremental` have another one: if one of them
# fails, the next one makes up for it within minutes.
FULL_TAG = "acsync"
IS_FULL: Labels = {
    "prefect.resource.role": "tag",
    "prefect.resource.id": f"prefect.tag.{FULL_TAG}",
}
VERIFICATION_TAG = "acsync-verification"
IS_FULL_OR_VERIFICATION: Labels = {
    "prefect.resource.role": "tag",
    "prefect.resource.id": [f"prefect.tag.{tag}" for tag in (FULL_TAG, VERIFICATION_TAG)],
}


# Expressions of the templates.
_VARIABLE = "variables['acsync_' ~ deployment.name | replace('-', '_')]"
ACCOUNT = f"{_VARIABLE}.account or deployment.name"
PUBLISHED = f"{_VARIABLE}.published"


def variable_name(deployment: str) -> str:
    """Return the name of the Prefect variable with the account and the age of its data."""
    return f"acsync_{deployment.replace('-', '_')}"


@dataclass(frozen=True)
class Audience:
    """The flows to watch, and the notification blocks to use.

    `intervals` are those of full syncs, with the deployments that have them.
    """

    flows: Sequence[str]
    blocks: Sequence[BlockDocument]
    intervals: Mapping[timedelta, Sequence[UUID]]

    @property
    def of_flow(self) -> Labels:
        """Return the labels of all resources of the flows."""
        return {"prefect.resource.role": "flow", "prefect.resource.name": list(self.flows)}

    @property
    def nobody(self) -> str:
        """Return a sentence for descriptions if no message can be sent."""
        return "" if self.blocks else " It alerts nobody: set ACSYNC_ALERT_URL and deploy again."

    def notify(self, subject: str, body: str) -> list[ActionTypesOrUnknown]:
        """Return one action per block; without blocks, the automation fires and does nothing."""
        actions: list[ActionTypesOrUnknown] = [
            SendNotification(block_document_id=block.id, subject=subject, body=body)
            for block in self.blocks
        ]
        return actions or [DoNothing()]


def make_automations(audience: Audience) -> list[AutomationCore]:
    """Return all automations.

    That of stale data waits for three of the longest interval. Each shorter interval has one more.
    """
    *shorter, longest = sorted(audience.intervals)
    return [
        _failed(audience),
        _stale(audience, STALE_AUTOMATION, longest, "prefect.deployment.*"),
        *(
            _stale(
                audience,
                f"{STALE_AUTOMATION} ({spell(interval)})",
                interval,
                sorted(f"prefect.deployment.{each}" for each in audience.intervals[interval]),
            )
            for interval in shorter
        ),
        # Their machine died: otherwise they would stay `Running`.
        _crash(
            audience,
            LOST_AUTOMATION,
            BEATING,
            LOST_AFTER,
            f"The run sent no heartbeat for {spell(LOST_AFTER)}",
        ),
        # Their worker died before their start: otherwise they would keep their slot.
        _crash(
            audience, NOT_STARTED_AUTOMATION, STARTING_STATES, NOT_STARTED_AFTER, NOT_STARTED_REASON
        ),
    ]


def _failed(audience: Audience) -> AutomationCore:
    return AutomationCore(
        name=FAILED_AUTOMATION,
        description=f"A full sync or a verification failed, crashed or timed out.{audience.nobody}",
        trigger=EventTrigger(
            expect=_events(FAILED_STATES),
            match={"prefect.state-message": f"!{STOPPED_MESSAGE}"},
            match_related=[audience.of_flow, IS_FULL_OR_VERIFICATION],
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=audience.notify(
            "acsync: {{ flow.name | replace('-activecampaign', '') }} "
            "{{ flow_run.state.name | lower }}: "
            f"{{{{ flow_run.parameters.account or {ACCOUNT} or flow_run.name }}}}",
            # The message of a failed sync ends with the age of the data.
            "{{ flow_run.state.message }}"
            f"{{% if flow_run.state.name != 'Failed' %}} {{{{ {PUBLISHED} }}}}{{% endif %}}\n\n"
            + _link("Run", "flow-run"),
        ),
    )


def _stale(
    audience: Audience, name: str, interval: timedelta, deployments: str | list[str]
) -> AutomationCore:
    patience = stale_after(interval)
    of_deployments: Labels = {
        "prefect.resource.role": "deployment",
        "prefect.resource.id": deployments,
    }
    return AutomationCore(
        name=name,
        description=f"No scheduled full sync completed for {spell(patience)}.{audience.nobody}",
        trigger=EventTrigger(
            after=_events((SUCCEEDED, *FAILED_STATES, *OTHER_STATES)),
            expect=_events((SUCCEEDED,)),
            match_related=[audience.of_flow, of_deployments, IS_FULL],
            for_each={"related:deployment:prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=patience,
        ),
        actions=audience.notify(
            f"acsync: data is stale: {{{{ {ACCOUNT} }}}}",
            "No sync of {{ deployment.name }} has completed since "
            "{{ (firing.triggered - automation.trigger.within).strftime('%Y-%m-%d %H:%M') }} UTC "
            "or earlier, so the published data is at least that old. "
            f"{{{{ {PUBLISHED} }}}} Check that a worker is running "
            "(acsync worker) and how the last runs ended.\n\n" + _link("Deployment", "deployment"),
        ),
    )


def _crash(
    audience: Audience, name: str, after: Sequence[str], within: timedelta, reason: str
) -> AutomationCore:
    """Mark a run as crashed if no event follows in time. This frees its slot and sends an alert.

    Prefect's server (3.9.1) can hold back the last event of the first run after a deployment. The
    automation then fires for a run that has ended: the server refuses the state, and nothing
    alerts.
    """
    return AutomationCore(
        name=name,
        description=f"{reason}.",
        trigger=EventTrigger(
            after=_events(after),
            expect=_events(("*",)),
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=[audience.of_flow],
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                force=False,
                message=f"{reason}: its process or machine has probably died. "
                "The next sync resumes the data that it staged.",
            )
        ],
    )


def _events(names: Iterable[str]) -> set[str]:
    return {f"prefect.flow-run.{name}" for name in names}


def _link(title: str, kind: str) -> str:
    """Return a line with the address of a page of Prefect's UI, or without a UI with its id."""
    page_id = f"{{{{ {kind.replace('-', '_')}.id }}}}"
    url = page_url(kind, "ID")
    return f"{title}: {url.removesuffix('ID')}{page_id}" if url else f"{title} {page_id}"


def save_automation(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Create or update an automation and return what was done.

    An unchanged automation is not touched, so that its clocks keep running.
    """
    for existing in client.read_automations_by_name(automation.name):
        kept = automation.model_copy(update={"enabled": existing.enabled})
        if AutomationCore.model_validate(existing.model_dump()) == kept:
            return "is up to date"
        client.update_automation(existing.id, kept)
        return "updated"
    client.create_automation(automation)
    return "created"


def delete_shorter(client: SyncPrefectClient, kept: Iterable[AutomationCore]) -> Iterator[str]:
    """Delete the alerts of stale data for intervals that no deployment has, and yield their names.

    Otherwise they would alert too early for a deployment whose interval became longer.
    """
    names = {automation.name for automation in kept}
    for existing in client.read_automations():
        if existing.name.startswith(f"{STALE_AUTOMATION} (") and existing.name not in names:
            client.delete_automation(existing.id)
            yield existing.name
