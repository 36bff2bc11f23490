"""Claude Code's `settings.json` as far as it concerns Sagaflow: whether the plugin is enabled, and our hooks in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import json_text, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    IsOurs = Callable[[Any], bool]

EVENTS = ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop")
"""The events that Sagaflow has hooks for."""

MARK = "\ufeff"
"""What some editors begin a file with. Claude Code reads over it."""

_SCRIPTS = re.compile(r"/(bundled_)?hooks/run\.sh\Z")


def folder(environ: Mapping[str, str]) -> Path:
    """Where Claude Code keeps what is the user's: `CLAUDE_CONFIG_DIR`, else `~/.claude`. Empty means unset."""
    return expanded(environ.get("CLAUDE_CONFIG_DIR") or "~/.claude", environ)


def skills(environ: Mapping[str, str]) -> Path:
    """Where Claude Code looks for the user's own skills."""
    return folder(environ) / "skills"


def expanded(path: str, environ: Mapping[str, str]) -> Path:
    """`path` made absolute, its `~` being the `HOME` of `environ`."""
    return Path(paths.user_folder(environ), path[2:]) if path == "~" or path.startswith("~/") else Path(path).absolute()


class Hook(NamedTuple):
    """A hook as it stands in the settings."""

    event: str
    matcher: str
    handler: Mapping[str, Any]


class Settings:
    """The settings in the JSON object `text`; nothing but space counts as an empty one, as it does for Claude Code.

    Raises:
        ValueError: it is no JSON, or has something else where a hook belongs; with the place and the reason.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        body = _marked(text)[1]
        self._content = json_text.parse(body) if body.strip(json_text.SPACE) else {}
        if not isinstance(self._content, dict):
            raise ValueError("it holds no JSON object")  # noqa: TRY004 - damage like any other
        self._hooks = _part(self._content, "hooks", dict)
        self._groups = {event: _part(self._hooks, event, list) for event in EVENTS}

    @property
    def plugin(self) -> str:
        """The name under which the plugin is enabled, such as `sagaflow@sagaflow`; empty when it is not."""
        plugins = self._content.get("enabledPlugins")
        named = plugins.items() if isinstance(plugins, dict) else ()
        return next((name for name, on in named if name.startswith("sagaflow@") and on not in (None, False)), "")

    @property
    def hooks_off(self) -> bool:
        """Whether Claude Code is told to run no hook at all."""
        return self._content.get("disableAllHooks") not in (None, False, "false")

    def hooks(self, is_ours: IsOurs) -> list[Hook]:
        """Our hooks, in order."""
        return [hook for _, _, hook in self._found(is_ours)]

    def with_hooks(self, groups: Mapping[str, Sequence[Mapping[str, Any]]], is_ours: IsOurs) -> str:
        """The text with the hooks of `groups`, by event, in place of what there is of ours."""
        mark, body = _marked(self.without_hooks(is_ours))
        body = body if body.strip(json_text.SPACE) else "{}\n"
        for event, added in groups.items():
            body = _with(body, event, added)
        return mark + body

    def without_hooks(self, is_ours: IsOurs) -> str:
        """The text without our hooks, and without the groups and objects that are empty then."""
        text = self.text
        for index, inner, hook in reversed(list(self._found(is_ours))):
            mark, body = _marked(text)
            text = mark + _without(body, hook.event, index, inner)
        return text

    def _found(self, is_ours: IsOurs) -> Iterator[tuple[int, int, Hook]]:
        for event, groups in self._groups.items():
            for index, group in enumerate(groups):
                handlers = group.get("hooks") if isinstance(group, dict) else None
                for inner, handler in enumerate(handlers if isinstance(handlers, list) else ()):
                    if is_ours(handler):
                        yield index, inner, Hook(event, str(group.get("matcher", "")), handler)


def script(handler: object, names: Collection[str]) -> str:
    """The script in a handler that has the form of ours, `sh …/hooks/run.sh NAME`; empty when it has another."""
    if not isinstance(handler, dict) or (handler.get("type"), handler.get("command")) != ("command", "sh"):
        return ""
    match handler.get("args"):
        case [str(found), str(word)] if word in names and _SCRIPTS.search(found):
            return found
    return ""


def _with(body: str, event: str, groups: Sequence[Mapping[str, Any]]) -> str:
    """`body` with `groups` after what it has for `event`."""
    root = _root(body)
    hooks = json_text.member(body, root, "hooks")
    if hooks is None:
        return json_text.appended(body, root, {event: list(groups)}, "hooks")
    if json_text.member(body, hooks.value, event) is None:
        return json_text.appended(body, hooks.value, list(groups), event)
    for group in groups:
        found = json_text.member(body, hooks.value, event)
        assert found is not None
        body = json_text.appended(body, found.value, group)
    return body


def _without(body: str, event: str, index: int, inner: int) -> str:
    """`body` without one handler of `event`, and then without each part around it that has nothing left."""
    at = _root(body)
    steps = []
    for name in ("hooks", event):
        found = json_text.member(body, at, name)
        assert found is not None
        steps.append((at, json_text.parts(body, at).index(found)))
        at = found.value
    handlers = json_text.member(body, json_text.parts(body, at)[index].value, "hooks")
    assert handlers is not None
    steps += [(at, index), (handlers.value, inner)]
    while len(steps) > 1 and len(json_text.parts(body, steps[-1][0])) == 1:
        steps.pop()
    return json_text.without(body, *steps[-1])


def _root(body: str) -> int:
    """Where the outermost object begins."""
    return len(body) - len(body.lstrip(json_text.SPACE))


def _marked(text: str) -> tuple[str, str]:
    return (MARK, text[1:]) if text.startswith(MARK) else ("", text)


def _part(content: Mapping[str, Any], name: str, kind: type) -> Any:
    """The value `name` of `content`, empty where there is none; ValueError when it is not of `kind`."""
    found = content.get(name, kind())
    if not isinstance(found, kind):
        raise ValueError(f"its {name!r} is no {'object' if kind is dict else 'array'}")  # noqa: TRY004 - as above
    return found
