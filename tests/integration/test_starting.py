"""The start of a run, sent again to a Temporal server that does not answer each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
import temporalio.client
from temporalio.service import RPCError, RPCStatusCode

from sagaflow_mcp import engine_client, starting, temporal

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow


class Blips(temporalio.client.Interceptor):
    """Lets the first `count` looks at a history fail, as a server does that is just starting again."""

    def __init__(self, count: float) -> None:
        self.left = count

    def intercept_client(self, next: temporalio.client.OutboundInterceptor) -> temporalio.client.OutboundInterceptor:
        """Come between."""
        return _BlipsOutbound(next, self)


class _BlipsOutbound(temporalio.client.OutboundInterceptor):
    def __init__(self, next: temporalio.client.OutboundInterceptor, blips: Blips) -> None:
        super().__init__(next)
        self._blips = blips

    def fetch_workflow_history_events(self, input: temporalio.client.FetchWorkflowHistoryEventsInput) -> Any:
        """The history, once no look at it fails any more."""
        if self._blips.left:
            self._blips.left -= 1
            raise RPCError("not now", RPCStatusCode.UNAVAILABLE, b"")
        return super().fetch_workflow_history_events(input)


def start_again(local: LocalSagaflow, run_id: str, blips: Blips, seconds: float) -> None:
    """Start a run that has ended already, whose first answer was lost on the way."""

    async def start() -> None:
        """Start it."""
        ours = await temporal.connect(local.settings.home, engine_client.ready(local.settings.home))
        config = ours.config()
        config["interceptors"] = [*config["interceptors"], blips]
        wanted = starting.Start(run_id, "EndingsWorkflow", "nobody-listens", {"skill": "endings"})
        await starting.start(temporalio.client.Client(**config), wanted, seconds)

    anyio.run(start)


@pytest.fixture
def ended(local: LocalSagaflow) -> str:
    """The id of a run that has ended."""
    run_id = local.launch("endings", how="return")
    local.wait(run_id)
    return run_id


def test_a_run_that_has_ended_is_known_to_have_been_accepted(local: LocalSagaflow, ended: str) -> None:
    """Also when the server has to be asked twice."""
    blips = Blips(1)
    start_again(local, ended, blips, 30)
    assert blips.left == 0
    assert [entry.status for entry in local.inbox(ended)] == ["DONE"]


def test_a_server_that_does_not_tell_is_a_sentence(local: LocalSagaflow, ended: str) -> None:
    """Nobody knows then whether the run was accepted, and that is said."""
    with pytest.raises(starting.Unconfirmed, match=f"run '{ended}' was sent, but not confirmed within 0.5 s"):
        start_again(local, ended, Blips(float("inf")), 0.5)
