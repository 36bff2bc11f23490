"""The run that an activity is working for."""

from __future__ import annotations

import contextlib
import hashlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio.exceptions import ApplicationError

from sagaflow_mcp import artifacts, markers, pauses
from sagaflow_mcp.conversation import Conversation
from sagaflow_mcp.durable import first_execution, inheriting
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.mcp_clients import Connections

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from sagaflow_mcp.credentials import Credentials
    from sagaflow_mcp.durable.attempts import Awake
    from sagaflow_mcp.durable.calls import Calls
    from sagaflow_mcp.environments import Environment
    from sagaflow_mcp.models import ModelReply, Transport
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.sealing import SealingCodec
    from sagaflow_mcp.settings import Settings

NO_CREDENTIALS = "NoCredentials"
"""The failure type of a model call that waits for credentials which a restart has lost."""

PAUSED = "RunPaused"
"""The failure type of an attempt that was not begun, since a person has paused the run."""

PAUSED_DELAY = timedelta(seconds=30)
"""How long a step of a paused run waits before it looks again. A resume wakes it sooner (`resume` in `steering`)."""


@dataclass(frozen=True)
class Services:
    """What the worker lends to every activity."""

    settings: Settings
    transport: Transport
    calls: Calls
    """Those to a model that are under way."""
    credentials: Credentials
    identity: str
    """The worker's name at Temporal, of this one process only."""
    awake: Awake
    environment: Environment | None = None
    """What the worker runs in, where that is an environment of the plugin."""
    child: Callable[[StepContext, str, Mapping[str, Any]], Awaitable[Any]] | None = None
    """Makes a skill ready to be started as a child: given the step that starts it, its name and its arguments."""
    batches: bool = True
    """Whether prompts may be asked in batches: not where a test counts the points at which the worker can die."""
    servers: Connections = field(default_factory=Connections)
    """The connections with MCP servers."""
    joined: bool = False
    """Whether the worker is another machine's than the one that launches: its home has neither markers nor inbox."""

    @property
    def home(self) -> Home:
        """The home that the worker belongs to."""
        return self.settings.home

    def is_open(self, run_id: str) -> bool:
        """Whether the run `run_id` was launched and has not had its ending. OSError where that cannot be found out."""
        if not self.joined:
            return markers.is_open(self.home, run_id)
        # An ending may be that before a retry, which goes on with the execution that the run began with.
        is_ended = Path(self.home.run(run_id), "ending.json").exists()
        return self.has_folder(run_id) and (not is_ended or first_execution.known(self.home, run_id) != "")

    def has_folder(self, run_id: str) -> bool:
        """Whether the run's folder is on this machine."""
        return Path(self.home.run(run_id), "run.json").exists()


@dataclass
class StepContext:
    """One attempt at one step of a run."""

    services: Services
    run_id: str
    skill: str
    project_dir: str
    key: str
    codec: SealingCodec
    folder: str = ""
    """Where in the run's folder its files are: that of a child, whose files must not meet its parent's."""
    label: str = ""
    """What the step is called in progress, transcript and log."""
    scope: str = ""
    """Which workflow of the run the step is of, as in `journal.step_hash`."""
    ancestors: tuple[str, ...] = ()
    """The run that this one goes on from, the one that that goes on from, and so on."""
    replies: list[ModelReply] = field(default_factory=list)
    """The model's replies during this attempt; their tokens go into the transcript."""
    warnings: list[str] = field(default_factory=list)
    """What the run's owner should know of this attempt although it succeeded."""

    @property
    def run_dir(self) -> str:
        """The run's folder."""
        return self.services.home.run(self.run_id)

    def refuse_if_paused(self) -> None:
        """Return when the run is not paused; ApplicationError, to come again later, when it is."""
        if pauses.since(Path(self.run_dir)):
            raise ApplicationError("the run is paused", type=PAUSED, next_retry_delay=PAUSED_DELAY)

    @property
    def files(self) -> Path:
        """The folder that the step's artifacts and prompts are confined to."""
        return Path(self.run_dir, self.folder)

    def path_here(self, path: str) -> str:
        """`path`, which may lie in the run's folder as another machine knows it, for this one."""
        for folder in self._folders():
            if path.startswith(f"{folder}/"):
                return str(Path(self.run_dir).resolve() / path[len(folder) + 1 :])
        return path

    def path_for_all(self, path: Path) -> str:
        """How each machine calls `path`, a file in the run's folder: as the one that launched the run does."""
        folders = self._folders()
        return str(Path(folders[-1], path.relative_to(Path(self.run_dir).resolve()))) if folders else str(path)

    def _folders(self) -> list[str]:
        """The run's folder as the machine that launched the run knows it; empty on that machine itself."""
        if not self.services.joined:
            return []
        about = artifacts.read_json(Path(self.run_dir) / "run.json") or {}
        return [str(folder) for folder in about.get("folders") or ()]


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


def conversation_of(step: StepContext, workflow_id: str, name: str, generation: int = 0) -> Conversation:
    """The conversation of the agent `name` of a workflow of the step's run."""
    runs = (step.run_id, *step.ancestors)
    names = [f"{each}{workflow_id.removeprefix(step.run_id)}/{name}" for each in runs]
    folders = [
        Path(step.services.home.run(run_id), artifacts.AGENTS, hashlib.sha256(of.encode()).hexdigest()[:16])
        for run_id, of in zip(runs, names, strict=True)
    ]
    if step.ancestors:
        inheriting.conversation(folders)
    return Conversation(folders[0], generation)


@contextlib.contextmanager
def refusals_end_the_step() -> Iterator[None]:
    """Turn a refusal into an error that is not retried: the same input would be refused again.

    Without its cause: of a failure's causes the innermost one is shown as its reason.
    """
    try:
        yield
    except Refusal as error:
        raise ApplicationError(str(error), type="Refused", non_retryable=True) from None
