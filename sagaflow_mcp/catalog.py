"""The skills that can be launched from here, found by looking at folders; nothing of a skill is ever imported."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagaflow_mcp import claude_settings, digest, faces, front_matter, projects, records, skill_file, syntax, trust
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home
from sagaflow_mcp.pinning import Source
from sagaflow_mcp.registry import NAME, NAME_RULE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMES_LIMIT = 400
"""How much is told of the names that there are to whom gives an unknown one, in characters."""


class Root(NamedTuple):
    """A folder whose sub-folders are skills."""

    kind: Literal["path", "project", "user", "bundled"]
    path: Path
    trusted: Mapping[str, str] | None = None
    """Of a project's, which skills the user trusts with which digest; no other is found. None where all are."""
    home: str = ""
    """The home in which that is written down."""

    @property
    def project(self) -> Path:
        """The folder of the project that this is the root of."""
        return self.path.parents[1]


@dataclass(frozen=True)
class Listed:
    """A skill as lists show it."""

    name: str
    path: Path
    root_kind: str
    form: str
    """`workflow`, or `agent` for one that is a SKILL.md alone."""
    description: str
    """One line from its SKILL.md, or from its function's docstring; empty when there is none."""
    shadows: tuple[Path, ...]
    """Skills of the same name in roots further away."""
    problem: str | None
    """What is wrong with it, as far as that shows without running it."""
    trusted: bool = True
    """Whether it may be shown and run: not what a project has changed after the user trusted it."""

    @property
    def launchable(self) -> bool:
        """Whether it can be launched, as far as that shows."""
        return self.problem is None and bool(NAME.match(self.name))


class Withheld(NamedTuple):
    """What is not shown of a project."""

    project: Path
    skills: int
    """How many skills it has that the user does not trust as they are."""
    home: str
    """The home in which it is written down what they trust."""


def roots(environ: Mapping[str, str], folder: str = "") -> tuple[Root, ...]:
    """The folders to look in, nearest first.

    `SAGAFLOW_SKILLS_PATH`, those of the project of `folder`, Claude Code's own, the bundled ones.

    Raises:
        Refusal: it cannot be read what the user trusts of the project.
    """
    project = project_root(environ, folder)
    return (
        *_named(environ),
        *([project] if project else []),
        Root("user", claude_settings.skills(environ)),
        *bundled(),
    )


def bundled() -> tuple[Root, ...]:
    """The folder of the bundled skills alone, whatever the user has under their names."""
    return (Root("bundled", _bundled()),)


def project_root(environ: Mapping[str, str], folder: str) -> Root | None:
    """Where the project of `folder` has its skills; None where there is none, or the user has named it as a root.

    Raises:
        Refusal: it cannot be read what the user trusts of the project.
    """
    project = projects.find(folder, environ) if folder else None
    if project is None:
        return None
    path = projects.skills(project)
    own = [claude_settings.skills(environ), *(each.path for each in _named(environ))]
    if os.path.realpath(path) in map(os.path.realpath, own):
        return None
    home = Home.from_environment(environ)
    return Root("project", path, trust.trusted(home, project), home.root)


def find(name: str, roots: Sequence[Root], face: faces.Face = faces.CLI) -> Source:
    """The nearest skill called `name`.

    Raises:
        Refusal: there is none, it has no workflow to run, or the user does not trust it; then with what `face` can do.
    """
    nearest, *_ = _sources(name, roots, face)
    _check_launchable(nearest)
    return nearest


def describe(name: str, roots: Sequence[Root]) -> Listed:
    """The nearest skill called `name` as lists show it; Refusal when there is none."""
    nearest, *further = _sources(name, roots, faces.CLI)
    return _listed(nearest, further)


def places(name: str, roots: Sequence[Root]) -> list[Path]:
    """The folders of the skills called `name` that are found in `roots`, nearest first."""
    return [root.path / name for root in roots if _has(root, name)]


def _sources(name: str, roots: Sequence[Root], face: faces.Face) -> list[Source]:
    """The skills called `name`, nearest first, at least one; Refusal when there is none."""
    found = [_source(root, name) for root in roots if _has(root, name)]
    if not found:
        raise Refusal(_untrusted(name, roots, face) or _unknown(name, roots))
    return found


def _has(root: Root, name: str) -> bool:
    if root.trusted is not None and name not in root.trusted:
        return False
    # No path is made of a name that may lead anywhere, unless a folder has it.
    return _form(root.path / name) is not None if NAME.match(name) else name in names(root.path)


def _untrusted(name: str, roots: Sequence[Root], face: faces.Face) -> str:
    """What is said of a skill that only a project has, and the user does not trust; empty when it is none."""
    for root in roots:
        if root.trusted is not None and name in names(root.path):
            cure = face.how_to_trust(str(root.project), root.home)
            return f"skill {name[:80]!r} of this project is not trusted; {cure}"
    return ""


def _check_launchable(source: Source) -> None:
    """Return when it has a name that it can be launched by; Refusal when it is none."""
    if not NAME.match(source.name):
        raise Refusal(f"the folder's name {source.name!r} is not a skill's name: {NAME_RULE}")


def listing(roots: Sequence[Root]) -> list[Listed]:
    """Every skill in `roots` by name, each with what it shadows and what is wrong with it. Never raises."""
    found: dict[str, list[Source]] = {}
    for root in roots:
        for name in _shown(root):
            found.setdefault(name, []).append(_source(root, name))
    return [_listed(nearest, further) for _, (nearest, *further) in sorted(found.items())]


def withheld(roots: Sequence[Root], listed: Sequence[Listed]) -> Withheld | None:
    """How many skills of a project are not among those `listed` from `roots`, or without their text; None if none."""
    changed = sum(not each.trusted for each in listed)
    for root in roots:
        count = len(set(names(root.path)) - root.trusted.keys()) + changed if root.trusted is not None else 0
        if count:
            return Withheld(root.project, count, root.home)
    return None


def _named(environ: Mapping[str, str]) -> list[Root]:
    """The folders that the user has named."""
    paths = environ.get("SAGAFLOW_SKILLS_PATH", "").split(os.pathsep)
    return [Root("path", claude_settings.expanded(each, environ)) for each in paths if each]


def _bundled() -> Path:
    """The skills that come with Sagaflow: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "bundled_skills"
    return installed if installed.is_dir() else package.parent / "skills"


def _source(root: Root, name: str) -> Source:
    path = root.path / name
    trusted = root.trusted[name] if root.trusted is not None else None
    return Source(name, path, root.kind, _form(path) or "agent", trusted)


def _form(path: Path) -> Literal["workflow", "agent"] | None:
    """How the skill in `path` is written; None when there is no skill."""
    if not skill_file.is_alone(path):
        return "workflow"
    return "agent" if os.path.isfile(path / skill_file.NAME) else None  # noqa: PTH113 - as in `skill_file`


def names(root: Path) -> list[str]:
    """The names of the folders in `root` that hold a skill, well-named or not; none when it cannot be read."""
    try:
        return [name for name in os.listdir(root) if not name.startswith(".") and _form(root / name)]  # noqa: PTH208 - 1,000 names are listed in 1 ms
    except OSError:
        return []


def _shown(root: Root) -> list[str]:
    """The names of the skills in `root`, of a project only those that the user trusts."""
    return [name for name in names(root.path) if root.trusted is None or name in root.trusted]


def _unknown(name: str, roots: Sequence[Root]) -> str:
    known = sorted({each for root in roots for each in _shown(root)})
    near = difflib.get_close_matches(name.lower(), known, n=3)
    looked = ", ".join(str(root.path) for root in roots)
    if near:
        hint = f"did you mean {' or '.join(repr(each) for each in near)}?"
    else:
        hint = f"there are {records.one_line(', '.join(known), NAMES_LIMIT)}." if known else "there are none."
    return f"there is no skill {name[:80]!r}; {hint} Looked in {looked}"


def _listed(source: Source, further: Sequence[Source]) -> Listed:
    trusted = _is_trusted(source)
    return Listed(
        name=source.name,
        path=source.path,
        root_kind=source.root,
        form=source.form,
        description=_description(source) if trusted else "",
        shadows=tuple(each.path for each in further),
        problem=_problem(source) if trusted else "it was changed after you trusted it",
        trusted=trusted,
    )


def _description(source: Source) -> str:
    """What the skill is for, as its SKILL.md says, or its function."""
    said = front_matter.description(source.path / skill_file.NAME)
    return said or (syntax.summary(source.name, source.path) if source.form == "workflow" else "")


def _is_trusted(source: Source) -> bool:
    """Whether `source` may be shown as it is now. Not for a launch, which compares what it has copied."""
    try:
        return source.trusted is None or digest.snapshot(str(source.path)).digest == source.trusted
    except Refusal:
        return False


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
