"""`sagaflow skills new`: a skill to begin with."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import catalog, claude_settings, cli_output, faces, records, scaffolding, settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from sagaflow_mcp.catalog import Root

PATH_LIMIT = 500
"""The longest path that is shown, in characters."""


class Standing(NamedTuple):
    """Where a new skill stands among those that there are."""

    shadows: list[Path]
    """The folders of skills of its name that it goes before."""
    shadowed_by: Path | None
    """The folder of a skill of its name that goes before it."""
    next: list[str]
    """The commands with which its author goes on."""


def skills_new(options: argparse.Namespace) -> int:
    """Make a skill that works at once, and say how to go on."""
    environ = settings.environment(os.environ)
    folder = Path(options.into).expanduser().absolute() if options.into else claude_settings.skills(environ)
    form = int(options.form)
    path = scaffolding.create(options.skill, form, folder)
    standing = _standing(path, environ)
    if options.as_json:
        return cli_output.print_json({"name": path.name, "path": path, "form": form, **standing._asdict()})
    screen = cli_output.screen()
    screen.show(f"made {_shown(path)}, which works as it is")
    for each in standing.shadows:
        screen.show(f"it goes before the skill of the same name in {_shown(each)}")
    if standing.shadowed_by:
        screen.show(f"the skill of the same name in {_shown(standing.shadowed_by)} goes before it")
    screen.show("next:")
    for command in standing.next:
        print(f"  {command}")  # Not broken at the terminal's width: it is there to be copied.
    return 0


def _standing(path: Path, environ: Mapping[str, str]) -> Standing:
    project = catalog.project_root(environ, str(path.parent))
    is_of_project = project is not None and _is_same(project.path, path.parent)
    # As it is seen from where it can be launched.
    roots = catalog.roots(environ, str(path.parent) if is_of_project else faces.CLI.folder(os.environ))
    number = next((number for number, root in enumerate(roots) if _is_same(root.path, path.parent)), None)
    if number is None:
        return Standing([], None, _next(path, None))
    nearer = catalog.places(path.name, roots[:number])
    further = [each for each in catalog.places(path.name, roots[number + 1 :]) if not _is_same(each, path)]
    return Standing(further, nearer[0] if nearer else None, _next(path, None if nearer else roots[number]))


def _next(path: Path, root: Root | None) -> list[str]:
    """The commands for the skill in `path`; without `root` it is not found by its name."""
    skill, launch = path.name, f"sagaflow launch {path.name} --await"
    before = []
    if root is None:
        skill = shlex.quote(str(path))
        launch = f"SAGAFLOW_SKILLS_PATH={shlex.quote(str(path.parent))} {launch}"
    elif root.trusted is not None:
        skill, project = shlex.quote(str(path)), shlex.quote(str(root.project))
        before = [f"sagaflow skills trust {project}"]
        launch = f"cd {project} && {launch}"
    return [f"sagaflow skills test {skill}", f"sagaflow skills test --crash {skill}", *before, launch]


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _shown(path: Path) -> str:
    return records.one_line(str(path), PATH_LIMIT)
