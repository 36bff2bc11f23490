"""Our hooks in Claude Code's settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from sagaflow_mcp import claude_settings, doctor, faces, session_hook
from sagaflow_mcp.errors import Failure, Refusal, SagaflowError

THEIRS = {"type": "command", "command": "sh", "args": ["/home/me/hooks/run.sh", "session-start"]}
"""A hook of somebody else's, which looks like ours."""

DOTFILE = """\
{
    "model": "opus",  "permissions": {"allow": ["Bash(ls:*)", "Read"], "deny": []},
    "hooks": {
        "Stop": [ {"hooks": [{"type": "command", "command": "say done"}]} ],
        "SessionStart": [
            {"matcher": "startup", "hooks": [{"type": "command", "command": "date", "timeout": 1.50}]}
        ]
    },
    "caf\\u00e9": "caf\u00e9"
}
"""


class User:
    """Somebody with a Claude Code folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.environ = {"CLAUDE_CONFIG_DIR": str(folder), "HOME": str(folder.parent)}
        self.path = folder / "settings.json"

    def writes(self, content: object) -> None:
        """The settings file, from text or from a value."""
        self.path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")

    def handlers(self) -> list[dict[str, Any]]:
        """Everything that runs at any event."""
        hooks = json.loads(self.path.read_text(encoding="utf-8"))["hooks"]
        return [handler for groups in hooks.values() for group in groups for handler in group["hooks"]]


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A user who has no settings yet."""
    return User(tmp_path / ".claude")


def group(*handlers: object) -> dict[str, Any]:
    """Settings in which these run at a session's start."""
    return {"hooks": {"SessionStart": [{"matcher": "", "hooks": list(handlers)}]}}


def ours(script: str) -> dict[str, Any]:
    """A hook that an installation of Sagaflow has put there, with its script at `script`."""
    return {"type": "command", "command": "sh", "args": [script, "session-start"], "timeout": 5}


def plugins_own() -> dict[str, list[dict[str, Any]]]:
    """The plugin's hooks as they are installed from here, by event."""
    plugin = (session_hook.folder() / "hooks.json").read_text(encoding="utf-8")
    theirs = plugin.replace("${CLAUDE_PLUGIN_ROOT}/hooks", str(session_hook.folder()))
    found: dict[str, list[dict[str, Any]]] = json.loads(theirs)["hooks"]
    return found


COUNT = len([handler for groups in plugins_own().values() for group in groups for handler in group["hooks"]])
"""How many hooks that is."""


def test_what_is_installed_are_the_plugins_own_hooks_with_a_path_that_exists(user: User) -> None:
    """Matchers, form and time limits are those of the plugin, but for the name of the server, which the user chose."""
    assert session_hook.install(user.environ)
    written = json.loads(user.path.read_text(encoding="utf-8"))["hooks"]
    (launched,) = written["PostToolUse"]
    for name in ("mcp__sagaflow__launch_workflow", "mcp__my-sagaflow__launch_workflow"):
        assert re.fullmatch(launched["matcher"], name)
    theirs = plugins_own()
    assert re.fullmatch(launched["matcher"], theirs["PostToolUse"][0].pop("matcher"))
    launched.pop("matcher")
    assert written == theirs
    for handler in user.handlers():
        assert Path(handler["args"][0]).is_file()
    assert {handler["args"][1] for handler in user.handlers()} == session_hook.NAMES
    assert stat.S_IMODE(user.path.stat().st_mode) == 0o600


def test_without_a_folder_of_their_own_the_settings_are_in_the_users_home(tmp_path: Path) -> None:
    """Where Claude Code looks for them; an empty `CLAUDE_CONFIG_DIR` means unset."""
    for environ in ({"HOME": str(tmp_path)}, {"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": ""}):
        assert session_hook.standing(environ).settings == str(tmp_path / ".claude" / "settings.json")


def test_what_was_made_is_gone_again_after_uninstalling(tmp_path: Path) -> None:
    """The file and its folder too, when there were none."""
    environ = {"HOME": str(tmp_path)}
    assert session_hook.install(environ)
    assert session_hook.uninstall(environ)
    assert list(tmp_path.iterdir()) == []
    assert not session_hook.uninstall(environ)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "before",
    [
        DOTFILE,
        DOTFILE.replace("\n", "\r\n"),
        "\ufeff" + DOTFILE,
        '{"a":1}',
        '{"a": 1, "hooks": {"Notification": []}}',
        '\n\t{\n\t"a": [1]\n\t}',
        '{"hooks": {"SessionStart": [{"hooks": []}, 7, {"hooks": null}, {"matcher": "x"}]}}',
        json.dumps(group(THEIRS), indent=1),
        json.dumps(group(THEIRS, {"type": "prompt", "args": "sh"}, {"command": ["sh"]}, None)),
    ],
)
def test_everything_else_in_the_file_stays_as_it_is(user: User, before: str) -> None:
    """Byte for byte once it is uninstalled, and in its order and place meanwhile."""
    user.path.write_bytes(before.encode())
    assert session_hook.install(user.environ)
    between = user.path.read_bytes().decode("utf-8-sig")
    kept, now = json.loads(before.lstrip("\ufeff")), json.loads(between)
    assert list(now)[: len(kept)] == list(kept)
    for event, added in plugins_own().items():
        assert now["hooks"].pop(event)[: -len(added)] == kept.get("hooks", {}).pop(event, [])
    assert {**now, "hooks": now["hooks"]} == {**kept, "hooks": kept.get("hooks", {})}
    assert session_hook.uninstall(user.environ)
    assert user.path.read_bytes() == before.encode()


@pytest.mark.parametrize("before", ["", " \n", "{}", "{ }\n"])
def test_a_file_with_nothing_in_it_is_as_good_as_none(user: User, before: str) -> None:
    """As it is for Claude Code."""
    user.writes(before)
    assert session_hook.install(user.environ)
    assert len(user.handlers()) == COUNT
    assert session_hook.uninstall(user.environ)
    assert not user.path.exists()


def test_a_second_time_changes_nothing(user: User) -> None:
    """The file is not even written."""
    user.writes(DOTFILE)
    assert session_hook.install(user.environ)
    first = user.path.stat()
    assert not session_hook.install(user.environ)
    # Not the whole of it: it also tells when the file was last read.
    second = user.path.stat()
    assert (second.st_ino, second.st_mtime_ns, second.st_ctime_ns) == (
        first.st_ino,
        first.st_mtime_ns,
        first.st_ctime_ns,
    )


def test_of_many_that_install_at_once_one_does(user: User) -> None:
    """Each hook is there once."""
    user.writes(DOTFILE)
    changed: list[bool] = []
    threads = [threading.Thread(target=lambda: changed.append(session_hook.install(user.environ))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changed) == [False] * 7 + [True]
    assert len(user.handlers()) == 2 + COUNT


def test_the_hook_of_another_installation_is_replaced(user: User, tmp_path: Path) -> None:
    """Of an environment that is gone, of one that is there, and of a checkout; all of them once is enough."""
    there = tmp_path / "site-packages" / "sagaflow_mcp" / "bundled_hooks" / "run.sh"
    checkout = tmp_path / "src" / "hooks" / "run.sh"
    (tmp_path / "src" / "sagaflow_mcp").mkdir(parents=True)
    for script in (there, checkout):
        script.parent.mkdir(parents=True)
        script.touch()
    old = ["/gone/lib/python3.11/site-packages/sagaflow_mcp/bundled_hooks/run.sh", "/gone/Sagaflow/hooks/run.sh"]
    user.writes(group(THEIRS, *map(ours, [*old, str(there), str(checkout)])))
    assert session_hook.standing(user.environ).missing == tuple(old)
    assert session_hook.install(user.environ)
    assert user.handlers()[:2] == [THEIRS, ours(str(session_hook.folder() / "run.sh"))]
    assert len(user.handlers()) == 1 + COUNT
    user.writes(group(*map(ours, [*old, str(there)]), THEIRS))
    assert session_hook.uninstall(user.environ)
    assert user.handlers() == [THEIRS]


@pytest.mark.parametrize(
    "handler",
    [
        THEIRS,
        ours("/opt/other/bundled_hooks/start.sh"),
        ours("sagaflow/run.sh"),
        {**ours("/x/sagaflow_mcp/bundled_hooks/run.sh"), "command": "bash"},
        {**ours("/x/sagaflow_mcp/bundled_hooks/run.sh"), "type": "prompt"},
        {**ours("/x/sagaflow_mcp/bundled_hooks/run.sh"), "args": ["/x/sagaflow_mcp/bundled_hooks/run.sh", "stop"]},
        {**ours("/x/sagaflow_mcp/bundled_hooks/run.sh"), "args": "/x/sagaflow_mcp/bundled_hooks/run.sh session-start"},
        {**ours("/x"), "args": [["/x/sagaflow_mcp/bundled_hooks/run.sh"], "session-start"]},
    ],
)
def test_what_only_looks_like_ours_stays(user: User, handler: dict[str, Any]) -> None:
    """Uninstalling takes nothing that is somebody else's."""
    user.writes(group(handler))
    before = user.path.read_bytes()
    assert not session_hook.uninstall(user.environ)
    assert user.path.read_bytes() == before


def test_a_script_that_lies_beside_no_sagaflow_is_not_ours(user: User, tmp_path: Path) -> None:
    """Though its folder is called so."""
    script = tmp_path / "sagaflow-extras" / "hooks" / "run.sh"
    script.parent.mkdir(parents=True)
    script.touch()
    user.writes(group(ours(str(script))))
    assert session_hook.standing(user.environ).scripts == ()


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ('{\n  "model": "opus"\n  "hooks": {}}', "line 3, column 3: "),
        ('// mine\n{"model": "opus"}', "line 1, column 1: "),
        ("[]", "it holds no JSON object"),
        ('{"hooks": []}', "its 'hooks' is no object"),
        ('{"hooks": null}', "its 'hooks' is no object"),
        ('{"hooks": {"SessionStart": {}}}', "its 'SessionStart' is no array"),
        (b'{"a": "\xff"}', "is not UTF-8 at byte 8"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_understood_is_not_touched(user: User, before: str | bytes, sentence: str) -> None:
    """The sentence says where it is wrong, and doctor says it too."""
    content = before.encode() if isinstance(before, str) else before
    user.path.write_bytes(content)
    for action in (session_hook.install, session_hook.uninstall, session_hook.standing):
        with pytest.raises(Refusal) as refused:
            action(user.environ)
        assert sentence in str(refused.value)
        assert repr(str(user.path)) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert user.path.read_bytes() == content
    assert [path.name for path in user.folder.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless link"])
def test_what_is_no_file_is_refused(user: User, kind: str) -> None:
    """Nothing waits for a pipe."""
    if kind == "folder":
        user.path.mkdir()
    elif kind == "pipe":
        os.mkfifo(user.path)
    else:
        user.path.symlink_to(user.path)
    with pytest.raises(SagaflowError):
        session_hook.install(user.environ)
    assert os.path.lexists(user.path)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_a_link_is_written_through_and_the_files_mode_stays(user: User, tmp_path: Path, mode: int) -> None:
    """As with dotfiles that are kept in a repository; there is a whole file at each moment."""
    kept = tmp_path / "dotfiles" / "claude.json"
    kept.parent.mkdir()
    kept.write_text("{}", encoding="utf-8")
    kept.chmod(mode)
    user.path.symlink_to("../dotfiles/claude.json")
    assert session_hook.install(user.environ)
    assert user.path.is_symlink()
    assert len(user.handlers()) == COUNT
    assert stat.S_IMODE(kept.stat().st_mode) == mode
    assert session_hook.uninstall(user.environ)
    assert kept.read_text(encoding="utf-8") == "{}"
    assert user.path.is_symlink()


def test_a_link_to_nothing_gets_its_file(user: User, tmp_path: Path) -> None:
    """And its folder."""
    user.path.symlink_to(tmp_path / "dotfiles" / "claude.json")
    assert session_hook.install(user.environ)
    assert (tmp_path / "dotfiles" / "claude.json").is_file()


@pytest.mark.parametrize("part", ["", "settings.json"])
def test_what_may_not_be_written_is_left_alone(readable_by_its_owner_only: Path, part: str) -> None:
    """One sentence, and no half-made file."""
    user = User(readable_by_its_owner_only / ".claude")
    user.writes(DOTFILE)
    (user.folder / part).chmod(0o500 if not part else 0o400)
    with pytest.raises(Failure, match=r"cannot be written .*; nothing was changed"):
        session_hook.install(user.environ)
    user.folder.chmod(0o700)
    assert user.path.read_text(encoding="utf-8") == DOTFILE
    assert [path.name for path in user.folder.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    ("plugins", "name"),
    [
        ({"sagaflow@sagaflow": True}, "sagaflow@sagaflow"),
        ({"other@x": True, "sagaflow@elsewhere": True}, "sagaflow@elsewhere"),
        ({"sagaflow@sagaflow": ["1.2"]}, "sagaflow@sagaflow"),
        ({"sagaflow@sagaflow": False}, ""),
        ({"sagaflow-extras@sagaflow": True}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_an_enabled_plugin_is_seen(plugins: object, name: str) -> None:
    """Under whichever marketplace it came from."""
    assert claude_settings.Settings(json.dumps({"enabledPlugins": plugins})).plugin == name


HERE = ours(str(session_hook.folder() / "run.sh"))
GONE = ours("/gone/sagaflow_mcp/bundled_hooks/run.sh")
ENABLED = {"enabledPlugins": {"sagaflow@x": True}}

WHOLE = {
    "hooks": {**plugins_own(), "PostToolUse": [{**plugins_own()["PostToolUse"][0], "matcher": session_hook.LAUNCH}]}
}

STANDINGS = {
    "nothing": ({}, "info", "neither the plugin nor", "`sagaflow hook install` puts them there"),
    "the plugin": (ENABLED, "ok", "the plugin sagaflow@x brings them", ""),
    "all hooks": (WHOLE, "ok", f"runs {HERE['args'][0]}", ""),
    "one hook": (group(HERE), "warn", "for a part of what it can tell", session_hook.RENEW),
    "both": ({**ENABLED, **group(HERE)}, "ok", "are not needed", "`sagaflow hook uninstall` takes them out"),
    "one that is gone": (group(GONE), "warn", "which is gone", session_hook.RENEW),
    "no hooks at all": (
        {"disableAllHooks": True, **group(HERE)},
        "warn",
        "disableAllHooks",
        "take it out of the file",
    ),
}


@pytest.mark.parametrize("case", STANDINGS.values(), ids=STANDINGS)
def test_doctor_says_how_the_hook_stands(user: User, tmp_path: Path, case: tuple[object, str, str, str]) -> None:
    """With the cure for a shell; a session, which has the plugin, is told nothing of it."""
    content, level, said, cure = case
    user.writes(content)
    environ = {**user.environ, "SAGAFLOW_HOME": str(tmp_path / "home")}
    (found,) = [check for check in doctor.examine(environ, faces.CLI) if check.name == "hook"]
    assert (found.level, found.cure) == (level, cure)
    assert said in found.finding
    standing = session_hook.standing(environ)
    assert standing.tells == (level == "ok" or "for a part" in said)
    assert standing.current == (content is WHOLE)
    assert [check for check in doctor.examine(environ, faces.MCP) if check.name == "hook"] == []


def test_doctor_warns_of_settings_that_cannot_be_understood(user: User, tmp_path: Path) -> None:
    """It is for Claude Code's user to put them right."""
    user.writes("{")
    environ = {**user.environ, "SAGAFLOW_HOME": str(tmp_path / "home")}
    (found,) = [check for check in doctor.examine(environ, faces.CLI) if check.name == "hook"]
    assert found.level == "warn"
    assert "line 1, column 2" in found.finding


def test_doctor_says_nothing_of_a_hook_where_there_is_no_claude_code(user: User, tmp_path: Path) -> None:
    """Sagaflow works without."""
    shutil.rmtree(user.folder)
    environ = {**user.environ, "SAGAFLOW_HOME": str(tmp_path / "home")}
    assert [check for check in doctor.examine(environ, faces.CLI) if check.name == "hook"] == []
