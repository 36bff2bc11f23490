"""What becomes of runs while the machine is off, and of endings that came while nobody looked."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, DescribeNamespaceRequest

from sagaflow_mcp import engine_client, inbox, markers
from sagaflow_mcp.testing import Rule
from tests.integration.clients import as_process, with_client
from tests.integration.own_temporal import DevServer, own_server, temporal_command
from tests.phases import SKILLS
from tests.waiting import eventually

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.testing import LocalSagaflow

TIMEOUT = timedelta(seconds=12)
"""How long one of the runs may take; it passes while the machine is off."""

RETENTION = timedelta(days=90)
"""How long the embedded server keeps runs that have ended."""

KEPT_SECONDS = 60
"""How long a server of one's own keeps them here."""

OFF = timedelta(days=2)
"""How long a machine may well be off: over a weekend."""


async def retention(client: Client) -> timedelta:
    """How long the server keeps runs that have ended."""
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    return found.config.workflow_execution_retention_ttl.ToTimedelta()


def unread(local: LocalSagaflow) -> str:
    """What the command says of the inbox."""
    done = as_process(local, "inbox")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_after_a_reboot_runs_go_on_and_endings_that_nobody_saw_are_told(local: LocalSagaflow) -> None:
    """The next command starts the engine; what ended before, or ends for being too late, is in the inbox once."""
    inbox.dismiss(local.settings.home, None)
    local.model.replace(Rule(match="planted-prompt-word", reply="still here", hold="answer"))
    asked = len(local.model.requests)
    due = time.time() + TIMEOUT.total_seconds()
    late = local.launch("endings", how="wait", timeout=TIMEOUT)
    alive = local.launch("endings", how="model")
    ended = local.launch("endings", how="wait")
    local.model.wait_for_requests(asked + 1, seconds=20)
    assert with_client(local, retention) == RETENTION

    status = engine_client.status(local.settings.home) or {}
    for pid in (status["keeper"], status["pid"], status["worker"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    with_client(local, lambda client: client.get_workflow_handle(ended).terminate(reason="nobody looked"))
    os.kill(status["server"]["pid"], signal.SIGKILL)
    eventually(lambda: time.time() > due, "the run is late", seconds=2 * TIMEOUT.total_seconds())

    assert unread(local) == "the inbox is empty\n"
    local.model.release("answer")
    assert [local.wait(run_id).state for run_id in (alive, ended, late)] == ["DONE", "TERMINATED", "TIMED_OUT"]
    assert all(len(local.inbox(run_id)) == 1 for run_id in (alive, ended, late))
    assert "nobody looked" in unread(local)


def test_endings_are_told_while_temporal_still_has_them(tmp_path: Path) -> None:
    """A server of one's own that keeps what has ended for a minute, as 90 days are to two; both are off for seconds."""
    # Without the second, what has ended may stay for up to half an hour longer.
    options = [
        word
        for setting in ('system.namespaceMinRetentionLocal="1s"', 'history.retentionTimerJitterDuration="1s"')
        for word in ("--dynamic-config-value", setting)
    ]
    with DevServer(tmp_path, *options) as server:
        shortened = ("operator", "namespace", "update", "--namespace", "default", "--retention", f"{KEPT_SECONDS}s")
        assert temporal_command(server.address, *shortened).returncode == 0
        with own_server(server.address, SKILLS) as local:
            local.model.add(Rule(match="planted-prompt-word", reply="still here", hold="answer"))
            due = time.time() + TIMEOUT.total_seconds()
            late = local.launch("endings", how="wait", timeout=TIMEOUT)
            alive = local.launch("endings", how="model")
            ended = local.launch("endings", how="wait")
            local.model.wait_for_requests(1, seconds=20)
            status = engine_client.status(local.settings.home) or {}
            for pid in (status["keeper"], status["pid"], status["worker"]["pid"]):
                os.kill(pid, signal.SIGKILL)
            end = ("workflow", "terminate", "--workflow-id", ended, "--reason", "nobody looked")
            assert temporal_command(server.address, *end).returncode == 0
            off_from = time.time()
            server.stop()
            eventually(lambda: time.time() > due, "the run is late", seconds=2 * TIMEOUT.total_seconds())
            server.start()
            assert time.time() - off_from > KEPT_SECONDS * (OFF / RETENTION)

            assert unread(local) == "the inbox is empty\n"
            local.model.release("answer")
            assert [local.wait(run_id).state for run_id in (alive, ended, late)] == ["DONE", "TERMINATED", "TIMED_OUT"]
            assert all(len(local.inbox(run_id)) == 1 for run_id in (alive, ended, late))


def test_a_run_that_temporal_has_forgotten_is_told_as_lost(local: LocalSagaflow) -> None:
    """As after months, when what is kept of ended runs has been removed."""
    home = local.settings.home
    local.model.replace(Rule(match="planted-prompt-word", hold="for ever"))
    asked = len(local.model.requests)
    run_id = local.launch("endings", how="model")
    local.model.wait_for_requests(asked + 1, seconds=20)
    marker = markers.find(home, run_id)
    assert marker is not None

    async def forget(client: Client) -> None:
        """Remove it, as the end of its retention does."""
        request = DeleteWorkflowExecutionRequest(
            namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=run_id)
        )
        await client.workflow_service.delete_workflow_execution(request)

    markers.remove(home, run_id)
    assert markers.claim(home, marker._replace(created_at="2020-01-01T00:00:00Z"))
    with_client(local, forget)
    run = local.wait(run_id)
    assert run.state == "FAILED"
    assert run.summary == "Temporal no longer has the run: how it ended is not known"
    assert len(local.inbox(run_id)) == 1
    assert Path(run.report_path).exists()
