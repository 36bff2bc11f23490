"""The skills that can be launched from here, found by looking at folders; nothing of a skill is ever imported."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagaflow_mcp import claude_settings, records, syntax
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.pinning import Source
from sagaflow_mcp.registry import NAME, NAME_RULE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FRONT_MATTER_BYTES = 8192
"""How much of a SKILL.md is read for its description."""

DESCRIPTION_LIMIT = 500
"""The longest description shown, in characters."""

NAMES_LIMIT = 400
"""How much is told of the names that there are to whom gives an unknown one, in characters."""


class Root(NamedTuple):
    """A folder whose sub-folders are skills."""

    kind: Literal["path", "user", "bundled"]
    path: Path


@dataclass(frozen=True)
class Listed:
    """A skill as lists show it."""

    name: str
    path: Path
    root_kind: str
    form: str
    """`workflow`, or `agent` for one that has only a SKILL.md."""
    description: str
    """One line from its SKILL.md, in the author's words; empty when there is none."""
    shadows: tuple[Path, ...]
    """Skills of the same name in roots further away."""
    problem: str | None
    """What is wrong with it, as far as that shows without running it."""

    @property
    def launchable(self) -> bool:
        """Whether this version can run it, as far as that shows."""
        return self.form == "workflow" and self.problem is None


def roots(environ: Mapping[str, str]) -> tuple[Root, ...]:
    """The folders to look in, nearest first: `SAGAFLOW_SKILLS_PATH`, Claude Code's own, the bundled ones."""
    named = [each for each in environ.get("SAGAFLOW_SKILLS_PATH", "").split(os.pathsep) if each]
    return (
        *(Root("path", claude_settings.expanded(each, environ)) for each in named),
        Root("user", claude_settings.folder(environ) / "skills"),
        Root("bundled", _bundled()),
    )


def find(name: str, roots: Sequence[Root]) -> Source:
    """The nearest skill called `name`.

    Raises:
        Refusal: there is none, or it has no workflow to run.
    """
    nearest, *_ = _sources(name, roots)
    _check_launchable(nearest)
    return nearest


def describe(name: str, roots: Sequence[Root]) -> Listed:
    """The nearest skill called `name` as lists show it; Refusal when there is none."""
    nearest, *further = _sources(name, roots)
    return _listed(nearest, further)


def _sources(name: str, roots: Sequence[Root]) -> list[Source]:
    """The skills called `name`, nearest first, at least one; Refusal when there is none."""
    if NAME.match(name):
        found = [_source(root, name) for root in roots if _form(root.path / name)]
    else:
        # No path is made of such a name, which may lead anywhere, unless a folder has it.
        found = [_source(root, name) for root in roots if name in _names(root.path)]
    if not found:
        raise Refusal(_unknown(name, roots))
    return found


def _check_launchable(source: Source) -> None:
    """Return when there is a workflow to run; Refusal when there is only a SKILL.md, or the name is none."""
    if source.form == "agent":
        raise Refusal(
            f"{source.name!r} is a SKILL.md-only skill ({str(source.path)!r}); this version runs skills with a "
            "workflow: it needs a workflow.py, and an __init__.py with register(registry)"
        )
    if not NAME.match(source.name):
        raise Refusal(f"the folder's name {source.name!r} is not a skill's name: {NAME_RULE}")


def listing(roots: Sequence[Root]) -> list[Listed]:
    """Every skill in `roots` by name, each with what it shadows and what is wrong with it. Never raises."""
    found: dict[str, list[Source]] = {}
    for root in roots:
        for name in _names(root.path):
            found.setdefault(name, []).append(_source(root, name))
    return [_listed(nearest, further) for _, (nearest, *further) in sorted(found.items())]


def _bundled() -> Path:
    """The skills that come with Sagaflow: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "bundled_skills"
    return installed if installed.is_dir() else package.parent / "skills"


def _source(root: Root, name: str) -> Source:
    path = root.path / name
    return Source(name, path, root.kind, _form(path) or "agent")


def _form(path: Path) -> Literal["workflow", "agent"] | None:
    """How the skill in `path` is written; None when there is no skill."""
    for file in ("__init__.py", "workflow.py"):
        if os.path.isfile(path / file):  # noqa: PTH113 - Path.is_file raises where a folder may not be searched
            return "workflow"
    return "agent" if os.path.isfile(path / "SKILL.md") else None  # noqa: PTH113 - as above


def _names(root: Path) -> list[str]:
    """The names of the folders in `root` that hold a skill, well-named or not; none when it cannot be read."""
    try:
        return [name for name in os.listdir(root) if not name.startswith(".") and _form(root / name)]  # noqa: PTH208 - 1,000 names are listed in 1 ms
    except OSError:
        return []


def _unknown(name: str, roots: Sequence[Root]) -> str:
    known = sorted({each for root in roots for each in _names(root.path)})
    near = difflib.get_close_matches(name.lower(), known, n=3)
    looked = ", ".join(str(root.path) for root in roots)
    if near:
        hint = f"did you mean {' or '.join(repr(each) for each in near)}?"
    else:
        hint = f"there are {records.one_line(', '.join(known), NAMES_LIMIT)}." if known else "there are none."
    return f"there is no skill {name[:80]!r}; {hint} Looked in {looked}"


def _listed(source: Source, further: Sequence[Source]) -> Listed:
    return Listed(
        name=source.name,
        path=source.path,
        root_kind=source.root,
        form=source.form,
        description=_description(source.path / "SKILL.md"),
        shadows=tuple(each.path for each in further),
        problem=_problem(source),
    )


def _problem(source: Source) -> str | None:
    if source.form == "agent":
        return None
    try:
        _check_launchable(source)
        names = syntax.check(source.name, source.path)
    except Refusal as error:
        return str(error)
    if names & {"register", syntax.FUNCTION}:
        return None
    return f"{str(source.path)!r} has neither a register(registry) in __init__.py nor a function with @skill"


def _description(path: Path) -> str:
    """The `description` in a SKILL.md's front matter as one line; empty when there is none. Never raises."""
    try:
        with path.open("rb") as file:
            lines = file.read(FRONT_MATTER_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    if not lines or lines[0].strip() != "---":
        return ""
    words: list[str] | None = None
    for line in lines[1:]:
        if words is not None and not line.startswith((" ", "\t")):
            break
        if words is not None:
            words.append(line.strip())
        elif line.startswith("description:"):
            words = [line.removeprefix("description:").strip()]
        elif line.strip() == "---":
            break
    return _unquoted(words or [])[:DESCRIPTION_LIMIT]


def _unquoted(words: list[str]) -> str:
    """The text of a YAML scalar written in `words`: plain, quoted or a block."""
    if words and words[0] in {"|", ">", "|-", ">-", "|+", ">+"}:
        words = words[1:]
    text = " ".join(" ".join(words).split())
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text
