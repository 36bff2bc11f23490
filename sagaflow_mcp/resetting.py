"""The reset of an execution that has ended, to where what ended it began: Temporal's part of a retry."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError

from sagaflow_mcp import artifacts, records, temporal
from sagaflow_mcp.durable import holding, places
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.client import Client
    from temporalio.converter import DataConverter

COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED

CHILD_ENDINGS = frozenset(
    {
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
    }
)
"""The events that end a child."""


class Point(NamedTuple):
    """Where an execution goes on."""

    event_id: int
    """Of the workflow task that is done again."""
    was_paused: bool
    """Whether the run was ever paused: then it is so again, until it is let go on."""
    is_whole: bool
    """Whether that is its first one, since what failed did so in executions before it, and is to be tried again."""


async def again(client: Client, run_id: str, run_dir: Path, pause: Callable[[], object]) -> Point:
    """Have the run go on from where it failed; paused, where it ever was.

    Args:
        client: of its server.
        run_id: the run.
        run_dir: its folder.
        pause: what lists the run as paused. Called before it is, so that whoever is killed before it is let go on
            leaves a run that says what it waits for.

    Raises:
        Refusal: Temporal no longer has its history, or it ended before it did anything.
        Failure: Temporal does not answer, or the folder cannot be changed.
    """
    try:
        ended = await asyncio.to_thread(_ended, run_dir)
        if not ended:
            found = await client.get_workflow_handle(run_id).describe(rpc_timeout=temporal.RPC_LIMIT)
            ended = found.run_id
        handle = client.get_workflow_handle(run_id, run_id=ended)
        events = [event async for event in handle.fetch_history_events(rpc_timeout=temporal.RPC_LIMIT)]
        converter = client.data_converter.with_context(
            WorkflowSerializationContext(namespace=client.namespace, workflow_id=run_id)
        )
        envelope = await _envelope(converter, run_id, events[0])
        link = int(envelope.get("link", 0))
        chosen = point(events, await _places(converter, events[-1], link), link)
        if envelope.get("paused"):
            chosen = chosen._replace(was_paused=True)
        if chosen.is_whole:
            with artifacts.changing("the retry", run_dir):
                await asyncio.to_thread(artifacts.write_json, run_dir / artifacts.RETRIED, {"link": link})
        if chosen.was_paused:
            await asyncio.to_thread(pause)
        execution = WorkflowExecution(workflow_id=run_id, run_id=ended)
        request = _request(client, execution, chosen)
        await client.workflow_service.reset_workflow_execution(request, timeout=temporal.RPC_LIMIT)
    except RPCError as error:
        if error.status.name == "NOT_FOUND":
            raise Refusal(f"Temporal no longer has the history of run {run_id!r}") from None
        raise Failure(f"Temporal does not take up run {run_id!r} again: {records.one_line(error.message)}") from error
    return chosen


def _ended(run_dir: Path) -> str:
    """Temporal's id of the execution that the ending is of; empty where that is not told.

    The last execution need not be it: somebody else may have sent the start again, which was refused.
    """
    found = (artifacts.read_json(run_dir / "ending.json") or {}).get("temporal_run_id")
    try:
        return str(uuid.UUID(found))
    except (AttributeError, TypeError, ValueError):
        return ""


async def _envelope(converter: DataConverter, run_id: str, start: HistoryEvent) -> dict[str, Any]:
    """What the execution that began with the event `start` was handed: which of the run's it is, and how it goes on."""
    assert converter.payload_codec is not None
    sealed = start.workflow_execution_started_event_attributes.header.fields[temporal.HEADER]
    (opened,) = await converter.payload_codec.decode([sealed])
    return temporal.read_header({temporal.HEADER: opened}, "start", run_id) or {}


async def _places(converter: DataConverter, ending: HistoryEvent, link: int) -> list[places.Place]:
    """Those of the steps whose failure ended the execution."""
    if ending.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return []
    failure = ending.workflow_execution_failed_event_attributes.failure
    return places.recorded(await converter.decode_failure(failure), link)


def point(events: Sequence[HistoryEvent], failed: Sequence[places.Place], link: int) -> Point:
    """Where the execution with these `events` goes on.

    With the task that began the first of the steps that `failed`, or that is still waiting for a child, since children
    end with their parent; where none did, with the last task before it was cancelled or ended.

    Raises:
        Refusal: it has done no task.
    """
    tasks = [event.event_id for event in events if event.event_type == COMPLETED]
    cancelled = [event.event_id for event in events if event.event_type == _CANCEL_REQUESTED]
    if cancelled:
        tasks = [each for each in tasks if each < cancelled[0]]
    if not tasks:
        raise Refusal("it ended before it did anything that could be taken up again")
    begun = {event.event_id: _task_of(event) for event in events}
    before = [each for each in failed if each.link != link]
    wanted = [tasks[-1], *(begun.get(each.event_id) or tasks[0] for each in failed if each.link == link)]
    wanted += [begun[each] for each in _open_children(events) if begun[each]]
    event_id = tasks[0] if before else min(each for each in wanted if each)
    return Point(event_id, _was_paused(events), is_whole=bool(before))


_CANCEL_REQUESTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED


def _task_of(event: HistoryEvent) -> int:
    """The workflow task that the event came from; 0 where it came from none."""
    return int(getattr(_attributes(event), "workflow_task_completed_event_id", 0))


def _attributes(event: HistoryEvent) -> Any:
    return getattr(event, event.WhichOneof("attributes") or "", None)


def _open_children(events: Sequence[HistoryEvent]) -> list[int]:
    """The events by which children were begun that had not ended."""
    found = [
        event.event_id
        for event in events
        if event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    ]
    ended = {_attributes(event).initiated_event_id for event in events if event.event_type in CHILD_ENDINGS}
    return [each for each in found if each not in ended]


def _was_paused(events: Sequence[HistoryEvent]) -> bool:
    # Wherever: what came after the task is done again too.
    return any(
        event.workflow_execution_update_accepted_event_attributes.accepted_request.input.name == holding.HOLD
        for event in events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    )


def _request(client: Client, execution: WorkflowExecution, chosen: Point) -> ResetWorkflowExecutionRequest:
    return ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=execution,
        reason="retried by a person",
        workflow_task_finish_event_id=chosen.event_id,
        request_id=str(uuid.uuid4()),
        reset_reapply_exclude_types=[ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST],
        identity=client.identity,
    )
