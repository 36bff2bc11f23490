"""A workflow that sleeps."""

from datetime import timedelta

from temporalio import workflow


@workflow.defn
class SleeperWorkflow:
    """Sleeps once."""

    @workflow.run
    async def run(self, days: float) -> int:
        """How many days it took."""
        begun = workflow.now()
        await workflow.sleep(timedelta(days=days))
        return (workflow.now() - begun).days
