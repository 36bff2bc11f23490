"""A workflow that tries names for its artifacts, and passes 10 MB from a step into an artifact."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import WriteArtifactInput

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Limits:
    """What is tried."""

    run_dir: str
    names: list[str]
    outside: str
    """A folder that the link `out` in the run's folder leads to."""


@activity.defn
def link_out(given: Limits) -> None:
    """Plant the link, in a step that is a plain function."""
    Path(given.run_dir, "out").symlink_to(given.outside)


@activity.defn
async def large(size: int) -> str:
    """So many characters, from a step that is a coroutine."""
    return "x" * size


@workflow.defn
class LimitsWorkflow:
    """Writes artifacts."""

    @workflow.run
    async def run(self, given: Limits) -> list[str]:
        """What became of each name; then the path of an artifact of 10 MB."""
        await workflow.execute_activity(link_out, given, start_to_close_timeout=MINUTE)
        told = [await self._tried(name) for name in given.names]
        content = await workflow.execute_activity(large, 10_000_000, start_to_close_timeout=MINUTE)
        return [*told, await self._written("large.txt", content)]

    async def _tried(self, name: str) -> str:
        try:
            return await self._written(name, "planted")
        except FailureError as error:
            # A step that runs inside the workflow task fails as itself, any other as the cause of an ActivityError.
            return str(error.cause or error)

    async def _written(self, path: str, content: str) -> str:
        given = WriteArtifactInput(path=path, content=content)
        written: str = await workflow.execute_activity(
            "write_artifact", given, start_to_close_timeout=MINUTE, result_type=str
        )
        return written
