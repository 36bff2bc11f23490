"""`sagaflow skills trust`: a person says that the skills which a project brings along may be shown and run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import catalog, cli_output, cli_question, faces, records, settings, trust, trusting
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.trusting import Candidate

SHOWN_DIGITS = 12
"""How much of a digest is shown."""

PATH_LIMIT = 500
"""The longest path that is shown, in characters."""


def skills_trust(options: argparse.Namespace) -> int:
    """Ask whether a project's skills are trusted as they are now, or with --remove trust none of them any more."""
    environ = settings.environment(os.environ)
    home = Home.from_environment(environ).prepare()
    folder = options.folder or faces.CLI.folder(environ)
    root = catalog.project_root(environ, folder)
    if options.remove:
        return _remove(home, folder, root)
    if not Path(folder).is_dir():
        raise Refusal(f"{folder!r} is no folder; give that of the project")
    if root is None:
        raise Refusal(
            f"no project's skills are at {folder!r}: neither that folder nor one above it, up to the root of its "
            "repository, has a .claude/skills; your own in ~/.claude/skills need no trust"
        )
    cli_question.refuse_without_terminal(
        f"the skills of {str(root.project)!r} can only be trusted by a person: run this in a terminal"
    )
    return _trust(home, root)


def _trust(home: Home, root: catalog.Root) -> int:
    found = trusting.candidates(root)
    good = [each for each in found if not each.problem]
    screen = cli_question.screen()
    screen.show(f"The skills of {_shown(root.project)}:")
    for each in found:
        screen.show(f"  {_line(each)}")
    if not good:
        raise Refusal(f"there is nothing to trust in {str(root.path)!r}")
    if {each.name: each.digest for each in good} == root.trusted:
        print("nothing to do: they are trusted as they are")
        return 0
    cli_question.ask(
        f"Their code runs as you, with your model access. Do you trust {_counted(len(good))} as they are now?"
    )
    # What was shown, whatever the folders hold by now.
    trust.put(home, root.project, {each.name: each.digest for each in good})
    said = f"trusted: {_counted(len(good))} of {_shown(root.project)}; what is changed or added there is not"
    cli_output.screen().show(said)
    return 0


def _remove(home: Home, folder: str, root: catalog.Root | None) -> int:
    # The project may have no skills any more, or be gone.
    project = root.project if root else Path(os.path.realpath(folder))
    if not trust.remove(home, project):
        raise Refusal(f"no skill of {str(project)!r} is trusted; nothing was changed")
    cli_output.screen().show(f"no skill of {_shown(project)} is trusted any more; runs that were launched go on")
    return 0


def _line(found: Candidate) -> str:
    name = records.one_line(found.name, 80)
    if found.problem:
        return f"{name}  cannot be trusted: {records.one_line(found.problem)}"
    standing = {"": "new", found.digest: "trusted as it is"}.get(found.before, "changed since it was trusted")
    files = f"{found.files} file{'s' if found.files != 1 else ''}"
    return f"{name}  {files}, sha256 {found.digest[:SHOWN_DIGITS]}…, {standing}"


def _counted(skills: int) -> str:
    return f"{skills} skill{'s' if skills != 1 else ''}"


def _shown(path: Path) -> str:
    return records.one_line(str(path), PATH_LIMIT)
