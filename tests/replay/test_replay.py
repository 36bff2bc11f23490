"""Runs that were open under a former version go on under this one: recorded histories replay, interceptor included."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from temporalio.client import WorkflowHistory
from temporalio.common import HeaderCodecBehavior
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from sagaflow_mcp import __version__, keys, loader, models, pinning, sealing
from sagaflow_mcp.credentials import Credentials
from sagaflow_mcp.durable import context, steps
from sagaflow_mcp.durable.attempts import Awake
from sagaflow_mcp.durable.calls import Calls
from sagaflow_mcp.payloads import SharedPydanticConverter
from sagaflow_mcp.schedule_launches import DueWorkflow
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

HISTORIES = Path(__file__).parent / "histories"
SKILLS = Path(__file__).parent / "skills"
REPLAY_SECONDS = 30
"""A replay that commands something else can wait for ever for what never comes."""

RECORDED = sorted(HISTORIES.glob("*/*.json"))


def test_this_version_is_recorded() -> None:
    """Every release leaves its histories: each part of the machinery, and each link of a continued run."""
    names = [path.name.partition(".")[0] for path in RECORDED if path.parent.name == __version__]
    parts = ("function-all", "function-paused")
    children = {name for name in names for part in parts if name.startswith(f"{part}-recorded-function-")}
    assert len(children) == len(parts)
    assert sorted(set(names) - children) == [
        "function-agents",
        "function-all",
        "function-batches",
        "function-many",
        "function-paused",
        "recorded-child",
        "recorded-child-child",
        "recorded-continue",
        "recorded-parallel",
        "recorded-signals",
        "recorded-steps",
        "schedule-due",
    ]
    assert names.count("recorded-continue") == 3
    assert names.count("function-many") > 1


def read(path: Path) -> dict[str, Any]:
    """A recorded history with its workflow id."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.anyio
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_recorded_history_replays(home: Home, path: Path) -> None:
    """Today's code commands what the recorded run commanded."""
    shutil.copy(path.parent / "key", home.key)
    ring = keys.KeyRing.of(home)
    services = context.Services(
        settings=Settings(home=home),
        transport=models.DeferredMessagesApi(models.DEFAULT_MODELS),
        calls=Calls(1),
        credentials=Credentials(),
        identity="replayer",
        awake=Awake(),
    )
    recorded = read(path)
    converter = sealing.data_converter(home, ring, SharedPydanticConverter)
    history = WorkflowHistory.from_json(recorded["workflow_id"], recorded["history"])
    if path.name.startswith("schedule-due"):
        replayer = Replayer(
            workflows=[DueWorkflow],
            workflow_runner=UnsandboxedWorkflowRunner(),
            data_converter=converter,
            header_codec_behavior=HeaderCodecBehavior.CODEC,
        )
        with anyio.fail_after(REPLAY_SECONDS):
            await replayer.replay_workflow(history)
        return
    skill = "recorded-function" if path.name.startswith("function") else "recorded"
    pinned = pinning.pin(home, pinning.Source(skill, SKILLS / skill, "path", "workflow"))
    try:
        replayer = Replayer(
            workflows=loader.workflows(loader.load(pinned)),
            workflow_runner=loader.workflow_runner(),
            data_converter=converter,
            interceptors=[steps.SagaflowInterceptor(services, sealing.SealingCodec(ring.keys), lambda: None)],
            header_codec_behavior=HeaderCodecBehavior.CODEC,
            workflow_failure_exception_types=[Exception],
        )
        with anyio.fail_after(REPLAY_SECONDS):
            await replayer.replay_workflow(history)
    finally:
        loader.drop(pinned)
