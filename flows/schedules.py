"""Give a deployment its interval, but keep a pause or a schedule that a person set in Prefect.

The environment of a deployment's runs has the interval that the last `acsync deploy` gave it. A
schedule with another interval was set by a person.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import SCHEDULE_TYPES, IntervalSchedule

from acsync.schedule import DEFAULT_INTERVAL
from acsync.setting_types import parse_duration
from acsync.spelling import spell

# Fixed, so that deploying again does not move any run.
ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)


def interval_of(job_variables: Mapping[str, Any], variable: str) -> timedelta:
    """Return the interval that `acsync deploy` gave a deployment.

    Before version 0.2, all deployments had the same interval.
    """
    text = job_variables.get("env", {}).get(variable)
    return parse_duration(text) if text else DEFAULT_INTERVAL


def update_schedule(
    client: SyncPrefectClient, existing: DeploymentResponse, before: timedelta, interval: timedelta
) -> str:
    """Change the interval of a deployment from `before`, and describe its schedule."""
    schedules = [schedule.schedule for schedule in existing.schedules]
    is_ours = [_interval(schedule) for schedule in schedules] == [before]
    if is_ours and before != interval:
        changed = IntervalSchedule(interval=interval, anchor_date=ANCHOR, timezone="UTC")
        client.update_deployment_schedule(existing.id, existing.schedules[0].id, schedule=changed)
    active = [schedule.schedule for schedule in existing.schedules if schedule.active]
    if existing.paused or not active:
        return "it was paused and stays paused; resume it in Prefect's UI"
    if not is_ours:
        return _describe_own(active, interval)
    return f"every {spell(interval)}" + (f", before {spell(before)}" if before != interval else "")


def _interval(schedule: SCHEDULE_TYPES) -> timedelta | None:
    return schedule.interval if isinstance(schedule, IntervalSchedule) else None


def _describe_own(schedules: Sequence[SCHEDULE_TYPES], interval: timedelta) -> str:
    """Describe schedules that a person set in Prefect."""
    intervals = [_interval(schedule) for schedule in schedules]
    times = ", ".join(f"every {spell(each)}" for each in intervals if each) or "on a schedule"
    return f"{times}, as set in Prefect, although acsync is set to every {spell(interval)}"
