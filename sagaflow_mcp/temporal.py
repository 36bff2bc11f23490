"""The connection to Temporal: every client of a home, with its seal on each message.

A start, a signal and an update carry a sealed header besides their sealed arguments, so that also a message without
arguments shows who sent it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import temporalio.client
from temporalio.api.common.v1 import Payload, TimeSkippingConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.common import HeaderCodecBehavior
from temporalio.converter import DefaultPayloadConverter
from temporalio.service import RPCError

from sagaflow_mcp import ids, keys, sealing, unreachable
from sagaflow_mcp.connection import Connection
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from temporalio.converter import PayloadConverter

    from sagaflow_mcp.paths import Home

HEADER = "sagaflow"
"""The header that each message of ours carries."""

MEMO = "sagaflow"
"""The entry in an execution's memo that shows, sealed, that this home started it."""

ACCEPT = "sagaflow_accept"
"""The update that is part of every start: answered when the run is accepted, or refused with the reason."""

REFUSED = "SagaflowRefused"
"""The failure type of a start that never became a run, and of messages that were not sealed by this home."""

SKIP_TIME = TimeSkippingConfig(enabled=True, max_session_skip_count=2**31 - 1)
"""Has a run's clock jump over whatever the run only waits for, as often as it does; by default the server stops at 200.

Only the server of a throw-away home takes it (`temporal_server.allow_time_skipping`)."""


class _Started(NamedTuple):
    envelope: Mapping[str, Any]
    skip_time: bool


_STARTED: ContextVar[_Started] = ContextVar("sagaflow_started")

CONNECT_SECONDS = 10
"""How long a connection may take before it counts as failed."""

RPC_LIMIT = timedelta(seconds=10)
"""How long one request to Temporal may take."""

OPEN = "ExecutionStatus = 'Running'"
"""The condition of a query for open executions."""


def header(kind: str, workflow_id: str, value: Mapping[str, Any]) -> Payload:
    """The payload of our header for one message: what `kind` of message, for which workflow, with `value`."""
    content = {"kind": kind, "workflow_id": workflow_id, "value": value}
    return Payload(metadata={"encoding": sealing.HEADER}, data=json.dumps(content).encode())


def read_header(headers: Mapping[str, Payload], kind: str, workflow_id: str) -> dict[str, Any] | None:
    """The value of our header; None when it is missing, or was not sealed by this home for that kind and workflow."""
    payload = headers.get(HEADER)
    if payload is None or payload.metadata.get("encoding") != sealing.HEADER:
        return None
    content = json.loads(payload.data)
    if content["kind"] != kind or content["workflow_id"] != workflow_id:
        return None
    value: dict[str, Any] = content["value"]
    return value


@contextmanager
def starting_with(envelope: Mapping[str, Any], *, skip_time: bool = False) -> Iterator[None]:
    """Workflows that the body starts get `envelope` in their header, and `SKIP_TIME` where that is wanted."""
    token = _STARTED.set(_Started(envelope, skip_time))
    try:
        yield
    finally:
        _STARTED.reset(token)


async def connect(
    home: Home,
    server: Connection | str,
    *,
    identity: str | None = None,
    payload_converter: type[PayloadConverter] = DefaultPayloadConverter,
    report: sealing.RefusalReport | None = None,
) -> temporalio.client.Client:
    """A client of `server`, or of the embedded one at that address, that seals with `home`'s key.

    Raises:
        Failure: the server cannot be reached within `CONNECT_SECONDS`, does not let us in, or lacks the namespace.
    """
    ring = keys.KeyRing.of(home)
    if isinstance(server, str):
        server = Connection(server)
    try:
        client = await asyncio.wait_for(
            temporalio.client.Client.connect(
                server.address,
                namespace=server.namespace,
                # Not the SDK's default: a history need not tell the name of the user's machine.
                identity=identity or f"sagaflow-client/{ring.home_id}",
                data_converter=sealing.data_converter(home, ring, payload_converter, report),
                header_codec_behavior=HeaderCodecBehavior.CODEC,
                interceptors=[_Sender()],
                **server.options,
            ),
            CONNECT_SECONDS,
        )
    except (RuntimeError, ValueError, RPCError, TimeoutError) as error:
        raise Failure(unreachable.sentence(server, error)) from error
    if server.is_own:
        # The first request that names the namespace: a later one would tell too late that it is missing.
        await retention(client, server)
    return client


async def retention(client: temporalio.client.Client, server: Connection) -> timedelta:
    """How long `server` keeps closed runs of the client's namespace. Failure when it does not say."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        found = await client.workflow_service.describe_namespace(request, timeout=RPC_LIMIT)
    except RPCError as error:
        raise Failure(unreachable.sentence(server, error)) from error
    return found.config.workflow_execution_retention_ttl.ToTimedelta()


async def executions(
    client: temporalio.client.Client, home_id: str, condition: str = OPEN
) -> AsyncIterator[tuple[temporalio.client.WorkflowExecution, ids.SkillQueue]]:
    """The executions of the home `home_id` that meet `condition`, each with its task queue.

    A server may hold those of others too.

    Raises:
        RPCError: there is no answer.
    """
    query = f"TaskQueue STARTS_WITH '{ids.queue_prefix(home_id)}' AND {condition}"
    async for execution in client.list_workflows(query, rpc_timeout=RPC_LIMIT):
        queue = ids.SkillQueue.of_home(home_id, execution.task_queue)
        if queue is not None:
            yield execution, queue


def _once() -> dict[str, str]:
    """What makes a message count once, whoever sends it again."""
    return {"nonce": secrets.token_hex(8)}


class _Sender(temporalio.client.Interceptor):
    """Puts our header on every message that a client sends into a workflow."""

    def intercept_client(self, next: temporalio.client.OutboundInterceptor) -> temporalio.client.OutboundInterceptor:
        return _SenderOutbound(next)


class _SenderOutbound(temporalio.client.OutboundInterceptor):
    async def signal_workflow(self, input: temporalio.client.SignalWorkflowInput) -> None:
        stamp = {HEADER: header(f"signal:{input.signal}", input.id, _once())}
        await super().signal_workflow(dataclasses.replace(input, headers={**input.headers, **stamp}))

    async def start_workflow_update(
        self,
        input: temporalio.client.StartWorkflowUpdateInput,
    ) -> temporalio.client.WorkflowUpdateHandle[Any]:
        stamp = {HEADER: header(f"update:{input.update}", input.id, _once())}
        return await super().start_workflow_update(dataclasses.replace(input, headers={**input.headers, **stamp}))

    async def start_update_with_start_workflow(
        self,
        input: temporalio.client.StartWorkflowUpdateWithStartInput,
    ) -> temporalio.client.WorkflowUpdateHandle[Any]:
        start, update = input.start_workflow_input, input.update_workflow_input
        # The envelope travels in the start's header, put there by `launch`: it is all that a run is started with.
        update.headers = {**update.headers, HEADER: header(f"update:{update.update}", start.id, _once())}
        started = _STARTED.get()
        start.headers = {**start.headers, HEADER: header("start", start.id, started.envelope)}
        start.time_skipping_config = SKIP_TIME if started.skip_time else None
        return await super().start_update_with_start_workflow(input)
