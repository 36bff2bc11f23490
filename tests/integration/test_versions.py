"""A run keeps the code and the prompts it was launched with, whatever happens to the skill meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path

from sagaflow_mcp.testing import LocalSagaflow, Rule

SEED = Path(__file__).parent / "skills" / "seed-hello"
ROUNDS = 20
"""Editions of the skill; each is in flight while the next one is made."""


def write(skill: Path, edition: int) -> None:
    """Make `skill` the seed's edition `edition`: its code and its prompt both say so."""
    shutil.rmtree(skill, ignore_errors=True)
    shutil.copytree(SEED, skill)
    for name, text in (("workflow.py", "EDITION"), ("prompts/greeter.user.md", "EDITION")):
        path = skill / name
        path.write_text(path.read_text(encoding="utf-8").replace(text, str(edition)), encoding="utf-8")


def test_each_run_ends_with_the_edition_it_was_launched_with(tmp_path: Path) -> None:
    """The skill is edited while a run waits for its model; the run ends with the old text, the next has the new one."""
    skill = tmp_path / "skills" / "seed-hello"
    with LocalSagaflow(skills=[skill.parent]) as local:
        # All runs are in a model call at once, more than the usual 16.
        Path(local.settings.home.config).write_text(f"[models]\nconcurrent_calls = {ROUNDS}\n", encoding="utf-8")
        local.model.add(
            *(
                Rule(
                    match=rf"Greet (\w+) edition {each}\b",
                    reply="STRUCTURED_OUTPUT_START\nGREETING|hello, ${1}\nSTRUCTURED_OUTPUT_END",
                    hold=f"edition {each}",
                )
                for each in range(ROUNDS)
            )
        )
        runs, workers = [], set()
        for edition in range(ROUNDS):
            write(skill, edition)
            runs.append(local.launch("seed-hello", name="alice"))
            local.model.wait_for_requests(edition + 1, seconds=20)
            workers.add(local.pid("worker"))
        for edition in reversed(range(ROUNDS)):
            local.model.release(f"edition {edition}")
            assert local.wait(runs[edition]).result == f"hello, alice ({edition})"
        assert len(workers) == 1
        assert len(local.inbox()) == ROUNDS
