"""What makes the worker of a throw-away home die at the crash point that a test has chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from temporalio import activity, workflow
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from sagaflow_mcp import crash_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.crash_points import CrashPoints


def around(points: CrashPoints, ours: Interceptor) -> Sequence[Interceptor]:
    """The interceptors of a worker: `ours` alone, or between two that know the crash points of a home under test."""
    return [_Outer(points), ours, _Inner(points)] if points.enabled else [ours]


class _Outer(Interceptor):
    """Sees a step once its result has been written down."""

    def __init__(self, points: CrashPoints) -> None:
        self._points = points

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Around what writes the result down."""
        return _AfterStep(next, self._points, crash_points.KEPT)


class _Inner(Interceptor):
    """Sees a step as soon as its function has returned, and each workflow task."""

    def __init__(self, points: CrashPoints) -> None:
        self._points = points

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Around the step's own code."""
        return _AfterStep(next, self._points, crash_points.RAN)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: ARG002 - the base class's signature
    ) -> type[WorkflowInboundInterceptor]:
        """Around the skill's own code; a class, so the points come with it."""
        return type("InTask", (_InTask,), {"points": self._points})


class _AfterStep(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, points: CrashPoints, kind: str) -> None:
        super().__init__(next)
        self._points = points
        self._kind = kind

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        result = await super().execute_activity(input)
        info = activity.info()
        # What runs inside a workflow task has no result of its own to be written down.
        if not (info.is_local and self._kind == crash_points.KEPT):
            self._points.reach(self._kind, _label(info.activity_type, input.args))
        return result


class _InTask(WorkflowInboundInterceptor):
    points: CrashPoints

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Asking(outbound, self.points))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        result = await super().execute_workflow(input)
        _reach(self.points, crash_points.END)
        return result


class _Asking(WorkflowOutboundInterceptor):
    def __init__(self, next: WorkflowOutboundInterceptor, points: CrashPoints) -> None:
        super().__init__(next)
        self._points = points
        self._asked = 0

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        handle = super().start_activity(input)
        self._ask(input.activity, input.args)
        return handle

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        handle = super().start_local_activity(input)
        self._ask(input.activity, input.args)
        return handle

    def _ask(self, activity_type: str, args: Sequence[Any]) -> None:
        payloads = workflow.payload_converter().to_payloads(args)
        ask = crash_points.Ask(
            execution=workflow.info().run_id,
            number=self._asked,
            label=_label(activity_type, args),
            given=", ".join(each.data.decode(errors="backslashreplace") for each in payloads),
            is_replay=workflow.unsafe.is_replaying(),
        )
        self._asked += 1
        with workflow.unsafe.sandbox_unrestricted():
            self._points.ask(ask)
        _reach(self._points, crash_points.TASK, ask.label)


def _reach(points: CrashPoints, kind: str, label: str = "") -> None:
    if not workflow.unsafe.is_replaying():
        with workflow.unsafe.sandbox_unrestricted():
            points.reach(kind, label)


def _label(activity_type: str, args: Sequence[Any]) -> str:
    """What the step is called in the transcript."""
    return str(getattr(args[0], "role", "") if args else "") or activity_type
