"""Whether skills are right, told before anything is launched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagaflow_mcp import agent_tools, catalog, mcp_names, mcp_servers, pinning, probe, settings, skill_file, skill_lint
from sagaflow_mcp.authorship import Place
from sagaflow_mcp.errors import BrokenSkill, Refusal
from sagaflow_mcp.skill_lint import Finding, Skill

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagaflow_mcp.catalog import Listed, Root
    from sagaflow_mcp.paths import Home


@dataclass(frozen=True)
class Checked:
    """A skill, and what its author should change."""

    name: str
    path: str
    findings: tuple[Finding, ...]

    @property
    def is_right(self) -> bool:
        """Whether nothing but warnings was found."""
        return not any(each.level == "error" for each in self.findings)


def check(home: Home, roots: Sequence[Root], name: str | None = None) -> list[Checked]:
    """The skill `name`, or every one that has code, loaded as a worker does and looked at without running it.

    Raises:
        Refusal: there is no such skill.
        Failure: a child process cannot be started, or the home cannot be written.
    """
    wanted = [catalog.describe(catalog.find(name, roots).name, roots)] if name is not None else catalog.listing(roots)
    others = catalog.listing(roots)
    sources = {each.name: source for each in others if (source := _source(each)) is not None}
    return [
        Checked(each.name, str(each.path), (*_loading(home, roots, each), *_looking(home, each, sources)))
        for each in wanted
        # Most of what is a SKILL.md alone was written for Claude Code, and nobody asked about it.
        if each.form != "agent" or name is not None
    ]


def _loading(home: Home, roots: Sequence[Root], listed: Listed) -> list[Finding]:
    """Why the skill cannot be loaded, if so."""
    try:
        probe.verdict(home, pinning.pin(home, catalog.find(listed.name, roots)), afresh=True)
    except BrokenSkill as error:
        sentence = str(error).replace(Place(error.file, error.line).aside, "", 1)
        return [Finding(error.file or str(listed.path), error.line, "error", sentence)]
    except Refusal as error:
        return [Finding(str(listed.path), None, "error", str(error))]
    return []


def _looking(home: Home, listed: Listed, sources: dict[str, Skill]) -> list[Finding]:
    """What shows without running it."""
    if listed.form == "agent":
        return [*_servers(listed), *_allowed_tools(home, listed)]
    skill = sources.get(listed.name)
    found = [] if skill is None else [*skill_lint.lint(skill), *_clashes(skill, sources.values())]
    return [*_servers(listed), *found]


def _servers(listed: Listed) -> list[Finding]:
    """What is wrong with the MCP servers that it names."""
    try:
        mcp_servers.of_skill(listed.path)
    except Refusal as error:
        path = str(listed.path / mcp_servers.FILE)
        return [Finding(path, None, "error", str(error).removeprefix(f"{path!r}: "))]
    return []


def _allowed_tools(home: Home, listed: Listed) -> list[Finding]:
    """A warning for the tools that the agent will have to do without."""
    path = listed.path / skill_file.NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []  # Loading it says so.
    names, lacking = agent_tools.of_claude_code(skill_file.allowed_tools(text))
    line = next((at for at, each in enumerate(text.splitlines(), 1) if each.startswith("allowed-tools")), None)
    found = []
    if lacking:
        sentence = f"its agent does without {', '.join(lacking)}: there is no such tool here"
        found.append(Finding(str(path), line, "warning", sentence))
    if without := _without_server(home, listed, names):
        place = f"{mcp_servers.FILE} or [{mcp_servers.TABLE}] in config.toml"
        sentence = f"its agent cannot begin: no MCP server for {', '.join(without)} is named in {place}"
        found.append(Finding(str(path), line, "error", sentence))
    return found


def _without_server(home: Home, listed: Listed, names: list[str]) -> list[str]:
    """Those of the names of MCP servers' tools for which neither the skill nor the user names a server."""
    try:
        servers = {*mcp_servers.of_skill(listed.path), *settings.read(home)[mcp_servers.TABLE]}
    except Refusal:
        return []  # Said already.
    return [each for each in mcp_names.among(names) if mcp_names.server_of(each, servers) is None]


def _source(listed: Listed) -> Skill | None:
    """The skill's source; None where it has none or it cannot be read, which loading it says."""
    if listed.form == "agent":
        return None
    try:
        return Skill.read(listed.name, listed.path)
    except Refusal:
        return None


def _clashes(skill: Skill, others: Iterable[Skill]) -> list[Finding]:
    """A warning for each workflow that has its name from another skill's."""
    further = [each for each in others if each.name != skill.name]
    theirs = {named.name: each.name for each in further for named in skill_lint.workflow_names(each)}
    return [
        Finding(
            named.file,
            named.line,
            "warning",
            f"its workflow is named {named.name!r}, as that of skill {theirs[named.name]!r} is: their runs are kept "
            "apart, but Temporal's tools show them alike; give it a name of its own: @workflow.defn(name=…)",
        )
        for named in skill_lint.workflow_names(skill)
        if named.name in theirs
    ]
