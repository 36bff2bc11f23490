"""Somebody who writes a skill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import catalog, pinning

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.pinning import Pinned, Source

SKILL = {
    "__init__.py": """
from sagaflow.durable.activities import write_artifact
from sagaflow.registry import SkillRegistry, SkillSpec
from skills.two_words.workflow import Reader

def build_input(*, run_id, run_dir, inbox_path, cli_args):
    return str(cli_args.get("name", "world"))

def register(registry: SkillRegistry) -> None:
    registry.register(SkillSpec("two-words", Reader, [write_artifact], build_input))
""",
    "facts.py": "VERSION = 'one'\n",
    "workflow.py": """
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sagaflow.prompts import load_prompt

from skills.two_words import facts

seen = []

@workflow.defn
class Reader:
    def __init__(self) -> None:
        self.told = ""

    @workflow.signal
    def tell(self, word: str) -> None:
        self.told = word

    @workflow.run
    async def run(self, name: str) -> str:
        seen.append(name)
        before = load_prompt(__file__, "greeting", {"name": name})
        await workflow.wait_condition(lambda: self.told != "")
        from skills.two_words.facts import VERSION
        return f"{before} {facts.VERSION} {VERSION} {self.told} {len(seen)}"
""",
    "prompts/greeting.md": "Hello $name,\n",
}


class Author:
    """Somebody who writes the skill `two-words`."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.folder = folder / "skills" / "two-words"
        self.home = home
        self.edit(**SKILL)

    def edit(self, **files: str) -> None:
        """Write files by name."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    @property
    def source(self) -> Source:
        """The skill as it is found."""
        return catalog.find("two-words", [catalog.Root("path", self.folder.parent)])

    def pin(self) -> Pinned:
        """The version as it is now."""
        return pinning.pin(self.home, self.source)
