"""Runs of the test cases of skills, one after another in a throw-away home."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from sagaflow_mcp import artifacts, following, ids, keys, launch, questions, records, temporal, temporal_server
from sagaflow_mcp.crash_points import CrashPoints
from sagaflow_mcp.durable.answers import ANSWER, PERMIT
from sagaflow_mcp.errors import Refusal, SagaflowError
from sagaflow_mcp.testing import _skipping
from sagaflow_mcp.testing.local import LocalSagaflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from sagaflow_mcp.crash_points import Ask
    from sagaflow_mcp.questions import Question
    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.testing.cases import Case

LIMIT_SECONDS = 60.0
"""How long a run may take; its replies come at once."""

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_CALL = re.compile(r"\btoolu_\w+")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True)
class Outcome:
    """What came of a run. What differs from run to run by its nature (ids, folders, times) has names here."""

    run_id: str
    state: str
    summary: str
    result: Any
    files: dict[str, str]
    """The content of each file that it left in its folder and, under `project/`, in the one it was launched from."""
    calls: Counter[str]
    """What the model was asked, by the request's JSON."""
    steps: Counter[str]
    """How many different steps there were, by label."""
    retried: int
    """How many attempts were not the first of their step."""
    again: list[str] = field(default_factory=list)
    """The steps that began once more after they had finished."""
    otherwise: list[tuple[Ask, Ask]] = field(default_factory=list)
    """The steps that a replay gave something else: as they were asked for, and as they were on the replay."""


class Trials:
    """A throw-away home with the offline model, in which the skills in the folder `skills` are run."""

    def __init__(self, skills: Path) -> None:
        self._local = LocalSagaflow(skills=[skills])
        self._count = 0
        self.is_spoilt = False
        """Whether a run has not ended well: a call that is still in flight would come into the next one's count."""

    async def __aenter__(self) -> Self:
        self._local.__enter__()
        self.points = CrashPoints(self._local.settings.home)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):  # After a ^C there is as much to end as otherwise.
            await anyio.to_thread.run_sync(self._local.__exit__, kind, error, trace)

    async def run(self, skill: str, case: Case, crash_at: int | None = None) -> Outcome:
        """What comes of a run of `case`.

        Args:
            skill: the name of the case's skill.
            case: what it is given.
            crash_at: the crash point, from 1, at which its worker dies; 0 to count them; None for a worker that knows
                none.

        Raises:
            Refusal: it is not accepted, or a file of its project cannot be written.
        """
        self._count += 1
        run_id = f"run-{self._count}"
        project = self._local.folder / "projects" / run_id
        _lay_out(project, case.project)
        if crash_at is not None:
            self.points.begin(run_id, crash_at)
        self._local.model.replace(*case.replies)
        asked = len(self._local.model.requests)
        run = await self._ended(skill, case, run_id, project)
        self.is_spoilt |= run.state != "DONE"
        bodies = [each.body for each in self._local.model.requests[asked:]]
        outcome = _outcome(run, project, bodies, self._neutral(run, project))
        return replace(outcome, otherwise=self.points.asked_otherwise(run_id))

    def _neutral(self, run: Run, project: Path) -> Callable[[str], str]:
        """What gives what differs from run to run, or from home to home, a name."""
        queues = ids.queue_prefix(keys.KeyRing.of(self._local.settings.home).home_id)
        names = {
            run.run_dir: "<run folder>",
            str(project): "<project folder>",
            str(self._local.folder): "<folder>",
            queues: "<queue>",
            run.run_id: "<run id>",
        }

        def neutral(text: str) -> str:
            for own, name in names.items():
                text = re.sub(rf"{re.escape(own)}(?!\d)", name, text)
            return _TIME.sub("<time>", _CALL.sub("<tool call>", _UUID.sub("<uuid>", text)))

        return neutral

    async def _ended(self, skill: str, case: Case, run_id: str, project: Path) -> Run:
        settings = self._local.settings
        left, answered = list(case.answers), set[str]()
        # Not before the answers are given: a question would come to its timeout first.
        request = launch.Request(skill, case.args, run_id, str(project), skip_time=not left)
        await launch.launch(settings, request)
        async for run in following.follow(settings, run_id, LIMIT_SECONDS):
            last = run
            for question in questions.listing(Path(run.run_dir)):
                if left and question.id not in answered and await self._answer(run_id, question, left[0]):
                    answered.add(question.id)
                    left.pop(0)
                    if not left:
                        await _skipping.begin(settings, run_id)
        return last

    async def _answer(self, run_id: str, question: Question, text: str) -> bool:
        """Whether the answer was taken; it is not while a worker is being started."""
        home = self._local.settings.home
        ports = temporal_server.recorded(home)
        assert ports is not None
        try:
            client = await temporal.connect(home, ports.address)
            await client.get_workflow_handle(run_id).execute_update(
                PERMIT if question.asks_permission else ANSWER, args=[text, question.id], rpc_timeout=temporal.RPC_LIMIT
            )
        except WorkflowUpdateFailedError as refused:
            # A worker that died had taken it already.
            return "already been answered" in str(refused.cause)
        except (SagaflowError, RPCError, WorkflowUpdateRPCTimeoutOrCancelledError):
            return False
        return True


class Homes:
    """The throw-away homes of a test; each is used again, since an engine takes longer to start than most runs take."""

    def __init__(self, skills: Path) -> None:
        self._skills = skills
        self._all: list[Trials] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            try:
                async with anyio.create_task_group() as group:
                    for each in self._all:
                        group.start_soon(each.__aexit__, kind, error, trace)
            except ExceptionGroup as failed:
                # What one home suffers from, the others do.
                raise failed.exceptions[0] from None

    async def take(self, count: int) -> list[Trials]:
        """So many of them, the same ones each time but for those that were spoilt."""
        for spoilt in [each for each in self._all if each.is_spoilt]:
            self._all.remove(spoilt)
            await spoilt.__aexit__(None, None, None)
        while len(self._all) < count:
            self._all.append(await Trials(self._skills).__aenter__())
        return self._all[:count]


def _lay_out(project: Path, files: dict[str, str]) -> None:
    """Make the folder that a run is launched from, with these files. Refusal when one cannot be written."""
    project.mkdir(parents=True)
    for name, content in files.items():
        path = project / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8", newline="")
        except (OSError, UnicodeEncodeError) as error:
            why = records.one_line(getattr(error, "strerror", None) or str(error))
            raise Refusal(f"the file {name[:60]!r} of the case's project cannot be written: {why}") from None


def _outcome(run: Run, project: Path, bodies: list[Any], neutral: Callable[[str], str]) -> Outcome:
    events = list(artifacts.events(Path(run.run_dir)))
    started = [event["step"] for event in events if event["event"] == "step_started"]
    own = {name: text for name, text in _files(Path(run.run_dir)) if name.partition("/")[0] not in artifacts.RESERVED}
    beside = {f"project/{name}": text for name, text in _files(project)}
    return Outcome(
        run_id=run.run_id,
        state=run.state,
        summary=neutral(run.summary),
        result=json.loads(neutral(json.dumps(run.result))),
        files={neutral(name): neutral(text) for name, text in {**own, **beside}.items()},
        calls=Counter(neutral(json.dumps(each, sort_keys=True)) for each in bodies),
        steps=Counter({event["step"]: neutral(event["label"]) for event in events if "step" in event}.values()),
        retried=len(started) - len(set(started)),
        again=_again(events),
    )


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith("~"):
            yield str(path.relative_to(folder)), path.read_text(encoding="utf-8", errors="backslashreplace")


def _again(events: list[dict[str, Any]]) -> list[str]:
    finished, again = set(), []
    for event in events:
        if event["event"] == "step_finished":
            finished.add(event["step"])
        elif event["event"] == "step_started" and event["step"] in finished:
            again.append(str(event["label"]))
    return again
