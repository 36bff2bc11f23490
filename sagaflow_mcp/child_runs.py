"""Skills that a run starts as its children: found, checked and taken up as for a launch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sagaflow_mcp import argument_schema, catalog, ids, pinning, probe
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sagaflow_mcp.credentials import Credentials
    from sagaflow_mcp.settings import Settings


class Child(NamedTuple):
    """What a child workflow is started with."""

    skill: str
    digest: str
    workflow_type: str
    task_queue: str
    arguments: dict[str, Any]


class Run(Protocol):
    """What is to be known of a run that starts a child: a step of it knows."""

    @property
    def run_id(self) -> str:
        """Its id."""
        ...

    @property
    def project_dir(self) -> str:
        """The folder that it was launched from."""
        ...


class ChildRuns:
    """Makes skills ready to be children.

    Args:
        settings: where skills are looked for.
        home_id: the home's.
        credentials: what runs may use to reach a model.
        take: has a worker take the work of a skill's version, given its name and digest.
    """

    def __init__(
        self,
        settings: Settings,
        home_id: str,
        credentials: Credentials,
        take: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._home_id = home_id
        self._credentials = credentials
        self._take = take

    async def ready(self, run: Run, skill: str, arguments: Mapping[str, Any]) -> Child:
        """A child of `run`, which a worker is ready for.

        Raises:
            Refusal: the skill or an argument is wrong, or it needs a model that the run has no access to.
            Failure: the skill cannot be copied or tried now.
        """
        found = await asyncio.to_thread(self._checked, run, skill, arguments)
        await self._take(found.skill, found.digest)
        return found

    def _checked(self, run: Run, skill: str, arguments: Mapping[str, Any]) -> Child:
        argument_schema.refuse_unwritable(skill, arguments)
        source = catalog.find(skill, catalog.roots(self._settings.environ, run.project_dir))
        pinned = pinning.pin(self._settings.home, source)
        verdict = probe.verdict(self._settings.home, pinned)
        if verdict.arguments is not None:
            arguments = argument_schema.check(verdict.arguments, arguments, skill=skill)
        if verdict.needs_model and not self._credentials.of(run.run_id):
            raise Refusal(f"skill {skill!r} calls a model, but the run that starts it has no access to one")
        queue = ids.SkillQueue(self._home_id, skill, pinned.digest)
        return Child(skill, pinned.digest, verdict.workflow_type, str(queue), dict(arguments))
