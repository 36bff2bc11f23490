"""What a skill may write into its run's folder, and how large what it passes around may be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow

REFUSED = {
    "../x.txt": "path '../x.txt' lies outside the run's folder '{run_dir}'; give one inside it",
    "sub/../../x.txt": "lies outside the run's folder '{run_dir}'",
    "{outside}/x.txt": "path '{outside}/x.txt' lies outside the run's folder '{run_dir}'",
    "out/x.txt": "path 'out/x.txt' lies outside the run's folder '{run_dir}'",
    "{name}": "'… has a name of over 200 bytes; give a shorter one",
    "{path}": "'… has over 1,000 bytes; give a shorter one",
    "taken": "'{run_dir}/taken' cannot be written: Is a directory",
}
"""Names for artifacts, each with what the skill is told of it."""


def test_names_out_of_the_folder_are_refused_and_ten_megabytes_pass(local: LocalSagaflow, tmp_path: Path) -> None:
    """In one run: each refusal is a sentence that the skill can go on after; 10 MB come from a step and are written."""
    given = {"outside": str(tmp_path), "name": "n" * 300, "path": "d/" * 2_000 + "x.txt"}
    names = [name.format(**given) for name in REFUSED]
    run = local.wait(local.launch("limits", names=["taken/x.txt", *names], outside=str(tmp_path)))
    assert run.state == "DONE", run.summary
    first, *told, last = run.result
    assert first == f"{run.run_dir}/taken/x.txt"
    for heard, sentence in zip(told, REFUSED.values(), strict=True):
        assert heard.startswith("Refused: ")
        assert sentence.format(run_dir=run.run_dir, **given) in heard
    assert not list(tmp_path.iterdir())
    assert Path(last).stat().st_size == 10_000_000
