"""Messages of people to a run that wait for its reply: Temporal's updates."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from sagaflow_mcp import engine_client, records, runs
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.settings import Settings

SECONDS = 60
"""How long it may take until the run has it; its worker may have to be started first."""


async def running(settings: Settings, run_id: str, does: str) -> Run:
    """The run `run_id`. Refusal when there is none, or it has ended and `does` nothing any more, such as "asks"."""
    run = await anyio.to_thread.run_sync(runs.get, settings.home, run_id)
    if not run.is_open:
        raise Refusal(f"run {run_id!r} {does} nothing any more: it has ended ({run.state})")
    return run


NOT_NOW = frozenset({"ABORTED", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""What the server says of an update that it takes if it is asked again.

Such as where the run was about to end while something else came in: it then does its last task again, without the
update (`WorkflowNotReadyFailure`).
"""

AGAIN_SECONDS = 0.2
"""How long to wait before asking again."""


async def send(settings: Settings, workflow_id: str, update: str, given: list[Any], what: str) -> Any:
    """What the workflow replies to the update.

    Args:
        settings: the home, and what its user has chosen.
        workflow_id: of a run, or of a child in it.
        update: its name.
        given: its arguments.
        what: it is, such as "the answer".

    Raises:
        Refusal: the workflow has ended, or does not take it (now).
        Failure: the engine, Temporal or the run's worker does not answer.
    """
    client = await connected(settings)
    try:
        with anyio.fail_after(SECONDS):
            return await _sent(client, workflow_id, update, given, what)
    except TimeoutError:
        raise Failure(
            f"{what} was sent, but run {workflow_id!r} did not confirm it within {SECONDS} s; "
            "`sagaflow doctor` says what keeps it"
        ) from None


async def connected(settings: Settings) -> Client:
    """A client of the Temporal server, with a worker up that takes the run's work. Failure where there is none."""
    # Imported here: it takes half a second, and what is refused should not.
    from sagaflow_mcp import connection, temporal  # noqa: PLC0415

    address = await anyio.to_thread.run_sync(
        lambda: engine_client.ready(settings.home, credentials=settings.credentials(), environ=settings.for_engine())
    )
    return await temporal.connect(settings.home, connection.own(settings) or address)


async def _sent(client: Client, workflow_id: str, update: str, given: list[Any], what: str) -> Any:
    from temporalio.client import WorkflowUpdateFailedError  # noqa: PLC0415 - as above
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415 - as above
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    handle = client.get_workflow_handle(workflow_id)
    # The same one each time, so that an update which has come through after all is not made twice.
    update_id = str(uuid.uuid4())
    while True:
        try:
            return await handle.execute_update(update, args=given, id=update_id)
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            said = cause.message if isinstance(cause, ApplicationError) else str(cause)
            raise Refusal(records.one_line(said, records.SENTENCE_LIMIT)) from None
        except RPCError as error:
            if error.status.name == "NOT_FOUND":
                raise Refusal(f"run {workflow_id!r} does not take {what} any more: it has ended meanwhile") from None
            if error.status.name not in NOT_NOW:
                raise Failure(f"Temporal does not take {what}: {records.one_line(error.message)}") from error
        await anyio.sleep(AGAIN_SECONDS)
