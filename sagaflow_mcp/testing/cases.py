r"""The test cases of a skill: the JSON files in its `tests` folder.

    {
      "args": {"name": "alice"},
      "project": {"docs/names.txt": "alice\n"},
      "replies": [{"match": "Please greet (\\w+)", "reply": "hello, ${1}"}],
      "answers": ["yes"],
      "result": "hello, alice",
      "state": "DONE",
      "artifacts": {"report.md": "# hello, alice"}
    }

Each member may be missing. `project` are files, by their paths, of the folder that the run is launched from; they are
there before it begins. `replies` are rules of the offline model, `answers` are given to `ctx.ask` in their order.
`result` and `artifacts` are compared where they are there; `state` is `DONE` unless it says otherwise. Once the answers
are given, from the start where there are none, time passes at once wherever the run only waits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing._script import Rule

if TYPE_CHECKING:
    from pathlib import Path

NOT_CHECKED: Any = object()
"""Stands for a result that a case says nothing of."""

FOLDER = "tests"


@dataclass(frozen=True)
class Case:
    """What a run is given, and what must come of it."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)
    project: dict[str, str] = field(default_factory=dict)
    replies: tuple[Rule, ...] = ()
    answers: tuple[str, ...] = ()
    result: Any = NOT_CHECKED
    state: str = "DONE"
    artifacts: dict[str, str] = field(default_factory=dict)


def found(skill: Path) -> list[Case]:
    """The cases of the skill in that folder, by name; Refusal when there is none, or one is not in order."""
    files = sorted((skill / FOLDER).glob("*.json"))
    if not files:
        raise Refusal(
            f"{str(skill / FOLDER)!r} has no test case; write one, such as {FOLDER}/first.json: "
            '{"args": {}, "result": "what must come"}'
        )
    return [_read(file) for file in files]


def _read(file: Path) -> Case:
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(f"the test case {str(file)!r} cannot be read as JSON: {records.one_line(str(error))}") from None
    try:
        return _case(file.stem, given)
    except ValueError as error:
        raise Refusal(f"the test case {str(file)!r} is not in order: {error}") from None


def _case(name: str, given: object) -> Case:
    if not isinstance(given, dict):
        raise ValueError("it must be a JSON object")  # noqa: TRY004 - one kind of error for all that is wrong with it
    known = [each.name for each in fields(Case) if each.name != "name"]
    if unknown := sorted(given.keys() - set(known)):
        raise ValueError(f"it has a member {unknown[0]!r}; there are {', '.join(known)}")
    kinds: dict[str, type] = {
        "args": dict,
        "project": dict,
        "replies": list,
        "answers": list,
        "state": str,
        "artifacts": dict,
    }
    for member, kind in kinds.items():
        if not isinstance(given.get(member, kind()), kind):
            raise ValueError(f"its {member} must be a JSON {_JSON[kind]}")  # noqa: TRY004 - as above
    _check_project(given.get("project", {}))
    replies = tuple(Rule.parse(each) for each in given.get("replies", []))
    answers = tuple(str(each) for each in given.get("answers", []))
    return Case(name, **{**given, "replies": replies, "answers": answers})


def _check_project(files: dict[str, object]) -> None:
    """Return when these can be files below a folder; ValueError when they cannot."""
    for path, content in files.items():
        parts = path.split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or "\0" in path:
            raise ValueError(
                f"its project has a file {path!r}; give a path below the folder of the launch, such as 'src/app.py'"
            )
        if not isinstance(content, str):
            raise ValueError(f"its project has the file {path!r} as {content!r}; give its content, a text")  # noqa: TRY004 - as above
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        if both := [each for each in above if each in files]:
            raise ValueError(f"its project has {both[0]!r} as a file and as the folder of {path!r}; give one of them")


_JSON: dict[type, str] = {dict: "object", list: "array", str: "string"}
