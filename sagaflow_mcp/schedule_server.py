"""The schedules of a home in Temporal, which says when something is due. What is launched then is in the home."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.service import RPCError, RPCStatusCode

from sagaflow_mcp import ids, temporal

if TYPE_CHECKING:
    from collections.abc import Collection

    from temporalio.client import Client, ScheduleDescription

    from sagaflow_mcp.schedule_files import Schedule as Wanted

WORKFLOW = "SagaflowDue"
"""The type of the workflow that stands for one time at which something is due."""

HEADER_KIND = "schedule"
"""What kind of header its start carries."""

MOST_TIMES = 1000
"""How many times it names at once."""


def queue(home_id: str) -> str:
    """The task queue of what is due."""
    return f"{ids.queue_prefix(home_id)}schedules"


def server_id(home_id: str, name: str) -> str:
    """What the schedule `name` is called there, and how the ids of its workflows begin: others have schedules too."""
    return f"{ids.queue_prefix(home_id)}schedule.{name}"


async def create(client: Client, home_id: str, wanted: Wanted) -> str:
    """The fingerprint of the schedule, once Temporal has it. RPCError if it does not take it."""
    called = server_id(home_id, wanted.name)
    action = ScheduleActionStartWorkflow(WORKFLOW, id=called, task_queue=queue(home_id))
    action.headers = {temporal.HEADER: temporal.header(HEADER_KIND, called, {"name": wanted.name})}
    spec = ScheduleSpec(cron_expressions=[wanted.cron], time_zone_name=wanted.timezone)
    # In order where runs must not overlap: which of several is launched is then the first one. A launch is short.
    in_order = wanted.overlap in {"skip", "cancel"}
    policy = SchedulePolicy(
        overlap=ScheduleOverlapPolicy.BUFFER_ALL if in_order else ScheduleOverlapPolicy.ALLOW_ALL,
        catchup_window=timedelta(seconds=wanted.catch_up_seconds),
    )
    state = ScheduleState(paused=wanted.paused)
    try:
        handle = await client.create_schedule(
            called, Schedule(action=action, spec=spec, policy=policy, state=state), rpc_timeout=temporal.RPC_LIMIT
        )
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(called)
    return fingerprint(await handle.describe(rpc_timeout=temporal.RPC_LIMIT))


async def described(client: Client, home_id: str, name: str) -> ScheduleDescription | None:
    """What Temporal says of the schedule; None when it has none. RPCError if it does not answer."""
    try:
        return await client.get_schedule_handle(server_id(home_id, name)).describe(rpc_timeout=temporal.RPC_LIMIT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def fingerprint(found: ScheduleDescription) -> str:
    """What changes when somebody has changed when it is due, or how late: nobody has reason to but us."""
    schedule = found.raw_description.schedule
    spec, policies = (each.SerializeToString(deterministic=True) for each in (schedule.spec, schedule.policies))
    return hashlib.sha256(spec + b"|" + policies).hexdigest()


async def set_paused(client: Client, home_id: str, name: str, *, paused: bool) -> None:
    """Have Temporal start nothing for the schedule, or go on. RPCError if it does not answer."""
    handle = client.get_schedule_handle(server_id(home_id, name))
    await (handle.pause if paused else handle.unpause)(rpc_timeout=temporal.RPC_LIMIT)


async def delete(client: Client, home_id: str, name: str) -> None:
    """Have Temporal forget the schedule; nothing happens when it has none. RPCError if it does not answer."""
    try:
        await client.get_schedule_handle(server_id(home_id, name)).delete(rpc_timeout=temporal.RPC_LIMIT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def strangers(client: Client, home_id: str, names: Collection[str]) -> list[str]:
    """The schedules of this home in Temporal that are none of `names`. RPCError if it does not answer."""
    prefix = server_id(home_id, "")
    found = await client.list_schedules(rpc_timeout=temporal.RPC_LIMIT)
    called = [each.id.removeprefix(prefix) async for each in found if each.id.startswith(prefix)]
    return [name for name in called if name not in names]


async def times(client: Client, home_id: str, name: str, after: datetime, until: datetime) -> list[datetime]:
    """When something was due after `after` and until `until`, at most `MOST_TIMES`. RPCError if there is no answer."""
    begin, end = Timestamp(), Timestamp()
    begin.FromDatetime(after)
    end.FromDatetime(until)
    request = ListScheduleMatchingTimesRequest(
        namespace=client.namespace, schedule_id=server_id(home_id, name), start_time=begin, end_time=end
    )
    found = await client.workflow_service.list_schedule_matching_times(request, timeout=temporal.RPC_LIMIT)
    all_times = [each.ToDatetime().replace(tzinfo=UTC) for each in found.start_time]
    return [each for each in all_times if after < each <= until]


async def being_started(client: Client, home_id: str) -> list[tuple[str, str]]:
    """What is due and not done with: the name of its schedule, and the stamp. RPCError if there is no answer."""
    query = f"TaskQueue = '{queue(home_id)}' AND {temporal.OPEN}"
    found = client.list_workflows(query, rpc_timeout=temporal.RPC_LIMIT)
    parsed = [parse_id(home_id, each.id) async for each in found]
    return [(name, stamp(due)) for name, due in filter(None, parsed)]


def parse_id(home_id: str, workflow_id: str) -> tuple[str, datetime] | None:
    """The schedule and the time that a workflow stands for, by its id, to which Temporal adds the time."""
    prefix = server_id(home_id, "")
    called, due = parts(workflow_id)
    if not called.startswith(prefix):
        return None
    try:
        return called.removeprefix(prefix), datetime.fromisoformat(due)
    except ValueError:
        return None


def parts(workflow_id: str) -> tuple[str, str]:
    """What Temporal has made the id of a workflow of: what the schedule calls it, and the time, to the second."""
    length = len("2030-01-31T08:15:00Z")
    return workflow_id[: -length - 1], workflow_id[-length:]


def stamp(due: datetime) -> str:
    """`due` as a run id of a schedule ends with it."""
    return f"{due.astimezone(UTC):%Y%m%d-%H%M%S}"


def moment(text: str) -> datetime:
    """The time that `stamp` wrote."""
    return datetime.strptime(text, "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
