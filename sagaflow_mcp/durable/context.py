"""The run that an activity is working for."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from temporalio.exceptions import ApplicationError

if TYPE_CHECKING:
    from sagaflow_mcp.credentials import Credentials
    from sagaflow_mcp.durable.attempts import Awake
    from sagaflow_mcp.environments import Environment
    from sagaflow_mcp.models import ModelReply, Transport
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.settings import Settings

NO_CREDENTIALS = "NoCredentials"
"""The failure type of a model call that waits for credentials which a restart has lost."""


@dataclass(frozen=True)
class Services:
    """What the worker lends to every activity."""

    settings: Settings
    transport: Transport
    credentials: Credentials
    identity: str
    """The worker's name at Temporal, of this one process only."""
    awake: Awake
    environment: Environment | None = None
    """What the worker runs in, where that is an environment of the plugin."""

    @property
    def home(self) -> Home:
        """The home that the worker belongs to."""
        return self.settings.home


@dataclass
class StepContext:
    """One attempt at one step of a run."""

    services: Services
    run_id: str
    skill: str
    project_dir: str
    key: str
    replies: list[ModelReply] = field(default_factory=list)
    """The model's replies during this attempt; their tokens go into the transcript."""
    warnings: list[str] = field(default_factory=list)
    """What the run's owner should know of this attempt although it succeeded."""

    @property
    def run_dir(self) -> str:
        """The run's folder."""
        return self.services.home.run(self.run_id)


_STEP: ContextVar[StepContext] = ContextVar("sagaflow_step")


def enter(step: StepContext) -> None:
    """Make `step` the current one for this activity's task."""
    _STEP.set(step)


def current() -> StepContext:
    """The step that the calling activity is working for.

    Raises:
        ApplicationError: called outside a Sagaflow worker.
    """
    try:
        return _STEP.get()
    except LookupError:
        raise ApplicationError("this activity runs only inside a Sagaflow worker", non_retryable=True) from None
