"""A skill that works at once, made of templates for its author to go on from."""

from __future__ import annotations

import builtins
import contextlib
import keyword
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.registry import NAME, NAME_RULE

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = Path(__file__).parent / "skill_templates"
"""One folder for each form, and `coded` with what both forms that have code share. In them the skill is `new-skill`."""

_KINDS = frozenset({".json", ".md", ".py"})
"""Of the files in a template; what Python has made of them, where the package is installed, is none."""


def create(name: str, form: int, folder: Path) -> Path:
    """The folder of the new skill `name`, made in `folder`, all of it or nothing.

    Args:
        name: what the skill is to be launched as.
        form: 1 for a SKILL.md alone, 2 for one function, 3 for a Temporal workflow.
        folder: where it is put; made if need be.

    Raises:
        Refusal: the name is none, something of that name is there already, or the folder cannot be written.
    """
    if not NAME.match(name):
        raise Refusal(f"{records.one_line(name, 80)!r} is not a skill's name: {NAME_RULE}")
    path = folder / name
    if os.path.lexists(path):
        raise Refusal(f"{str(path)!r} is there already, and nothing in it was changed; give the skill another name")
    try:
        with _made(folder):
            _put(path, _files(name, form))
    except OSError as error:
        why = error.strerror or str(error)
        raise Refusal(f"no skill can be made in {str(folder)!r} ({why}); give another folder with --into") from error
    return path


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """With `folder`, which is removed again with those above it that were missing when it fails."""
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        if missing:
            folder.mkdir(parents=True)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for each in missing:
                each.rmdir()
        raise


def _put(path: Path, files: dict[str, str]) -> None:
    """Have the folder `path` with these files; a reader sees all of them or none."""
    # With a dot, so that nobody takes it for a skill.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}~")
    try:
        for name, text in files.items():
            file = draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _files(name: str, form: int) -> dict[str, str]:
    """The content of each file of the skill, by its path in the skill's folder."""
    words = {"new-skill": name, "new_skill": _function(name), "NewSkill": _class(name)}
    found = {}
    shared = [TEMPLATES / "coded"] if form > 1 else []
    for template in (*shared, TEMPLATES / f"form_{form}"):
        for file in sorted(template.rglob("*")):
            if file.suffix in _KINDS:
                text = file.read_text(encoding="utf-8")
                filled_in = re.sub("|".join(words), lambda place: words[place[0]], text)
                found[str(file.relative_to(template))] = filled_in
    return found


def _function(name: str) -> str:
    """What the function of the skill is called in its code."""
    word = name.replace("-", "_")
    is_free = word.isidentifier() and not (keyword.iskeyword(word) or hasattr(builtins, word) or word == "skill")
    return word if is_free else f"run_{word}"


def _class(name: str) -> str:
    """What the name of the workflow's class begins with."""
    word = "".join(part.capitalize() for part in re.split("[-_]", name))
    return word if word.isidentifier() else f"Skill{word}"
