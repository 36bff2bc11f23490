"""The sandbox that workflows run in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED = 512
"""Commands of one run whose contexts are kept; a run has few in flight at a time."""


class SagaflowRunner(SandboxedWorkflowRunner):
    """Temporal's sandbox; each run has its own copy of the skill's modules, and shares ours."""

    def __init__(self) -> None:
        # Sagaflow's modules hold no state of a run, and re-importing them for each would take 0.5 s.
        # Pydantic's classes are compared by identity across the border.
        passed = SandboxRestrictions.default.with_passthrough_modules("sagaflow_mcp", "pydantic")
        super().__init__(restrictions=passed)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """One run's sandbox."""
        return _RememberingInstance(super().create_instance(det))


class _RememberingInstance(WorkflowInstance):
    """A run's sandbox that is asked once for the contexts of a command, and not for each payload.

    Each question makes the SDK execute a text inside the sandbox, which took a third of a local step's time (measured).
    """

    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._serialization: dict[Any, Any] = {}
        self._storage: dict[Any, Any] = {}

    def activate(self, act: Any) -> Any:
        return self._inner.activate(act)

    def get_serialization_context(self, command_info: Any) -> Any:
        return _remembered(self._serialization, command_info, self._inner.get_serialization_context)

    def get_external_store_context(self, command_info: Any) -> Any:
        return _remembered(self._storage, command_info, self._inner.get_external_store_context)

    def get_info(self) -> Any:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


def _remembered(known: dict[Any, Any], command_info: Any, ask: Callable[[Any], Any]) -> Any:
    if command_info not in known:
        if len(known) >= REMEMBERED:
            known.clear()
        known[command_info] = ask(command_info)
    return known[command_info]
