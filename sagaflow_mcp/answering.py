"""The answer to a question that a run asks, brought to the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from sagaflow_mcp import engine_client, records, runs
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.settings import Settings

ANSWER_SECONDS = 60
"""How long it may take until the run has the answer; its worker may have to be started first."""


async def answer(settings: Settings, run_id: str, text: str, question_id: str = "") -> str:
    """The id of the question of the run `run_id` that `text` is now the answer to.

    Args:
        settings: the home, and what its user has chosen.
        run_id: the run that asks.
        text: one of the question's options, in any case; any text where it has none.
        question_id: names one of several questions.

    Raises:
        Refusal: there is no such run, it has ended, or it does not take this answer (now).
        Failure: the engine, Temporal or the run's worker does not answer.
    """
    if not text.strip():
        raise Refusal("the answer is empty; give one")
    run = await anyio.to_thread.run_sync(runs.get, settings.home, run_id)
    if run.state != "RUNNING":
        raise Refusal(f"run {run_id!r} asks nothing any more: it has ended ({run.state})")
    asked = [each for each in run.questions if question_id in {"", each.id}]
    # A child's question goes to the child. Where it is not clear which is meant, the run says so.
    to, which = (asked[0].workflow_id, asked[0].id) if len(asked) == 1 else (run_id, question_id)
    client = await _connected(settings)
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            return await _sent(client, to, text, which)
    except TimeoutError:
        raise Failure(
            f"the answer was sent, but run {run_id!r} did not confirm it within {ANSWER_SECONDS} s; "
            "`sagaflow doctor` says what keeps it"
        ) from None


async def _connected(settings: Settings) -> Client:
    # Imported here: it takes half a second, and an answer that is refused should not.
    from sagaflow_mcp import connection, temporal  # noqa: PLC0415

    address = await anyio.to_thread.run_sync(
        lambda: engine_client.ready(settings.home, credentials=settings.credentials(), environ=settings.for_engine())
    )
    return await temporal.connect(settings.home, connection.own(settings) or address)


async def _sent(client: Client, workflow_id: str, text: str, question_id: str) -> str:
    from temporalio.client import WorkflowUpdateFailedError  # noqa: PLC0415 - as above
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415 - as above
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    from sagaflow_mcp.durable import answers  # noqa: PLC0415 - as above

    try:
        handle = client.get_workflow_handle(workflow_id)
        return str(await handle.execute_update(answers.ANSWER, args=[text, question_id]))
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        said = cause.message if isinstance(cause, ApplicationError) else str(cause)
        raise Refusal(records.one_line(said, records.SENTENCE_LIMIT)) from None
    except RPCError as error:
        if error.status.name == "NOT_FOUND":
            raise Refusal("nobody asks this any more: it has ended meanwhile") from None
        raise Failure(f"Temporal does not take the answer: {records.one_line(error.message)}") from error
