"""What is reviewed: what git says has changed, or files as they are. Nothing that the repository names is run."""

import itertools
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel

from sagaflow_mcp.agent_tools import Workspace
from sagaflow_mcp.errors import Refusal

LIMIT_BYTES = 400_000
"""The most that git may say at once: more than that no reviewer reads with care."""

LISTED = 500
"""How many files are named at most."""

SECONDS = 60.0
"""How long git may take for one answer."""

SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv"})
"""Folders that are not reviewed unless they are named."""

KEPT = ("HOME", "PATH", "TMPDIR", "XDG_CONFIG_HOME")
"""What git gets of the environment: no variable of its own, such as one that names a program for diffs."""

NO_NETWORK = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
"""A clone that lacks objects would fetch them, with programs that its configuration names."""

SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.quotePath=false")
"""Stand over those of the repository, which may name programs."""

DIFF = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--relative", "--find-renames"),
    *("--ignore-submodules=dirty", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/"),
)
"""Plain text of the folder alone. Whether a submodule is dirty would be asked with the submodule's own settings."""


class Material(BaseModel):
    """What is reviewed."""

    subject: str
    """In words that go on from "Review of"."""
    diff: str = ""
    """Empty where files are reviewed as they are."""
    files: list[str]
    """Those that are in the diff, or those to look at; `LISTED` at most."""
    new: list[str] = []
    """Those of a change that git does not track yet, so that the diff has nothing of them."""
    left_out: list[str] = []
    """Those that no agent may read, such as those that hold credentials."""


def material(project: str, base: str, paths: list[str]) -> Material:
    """What has changed in the folder `project` since `base`, in `paths` where some are named.

    Without `base` it is those files as they are; without `paths` too, what is not committed yet.

    Raises:
        Refusal: there is nothing to review, too much, or git does not know.
    """
    if not project:
        raise Refusal("the run was launched from no folder, so there is nothing to review; launch it from a project's")
    return _files(project, paths) if paths and not base else _changed(project, base or "HEAD", paths)


def _files(project: str, paths: list[str]) -> Material:
    workspace = Workspace(project=project, files="")
    where = ", ".join(map(repr, paths))
    names: dict[str, None] = {}
    for name in itertools.chain.from_iterable(_below(workspace, path) for path in paths):
        names[name] = None
        if len(names) > LISTED:
            raise Refusal(f"there are over {LISTED} files in {where}; name fewer or smaller folders")
    files = [name for name in names if workspace.is_readable(name)]
    if not files:
        raise Refusal(f"there is no file in {where} that an agent may read, so there is nothing to review")
    subject = "the project's folder" if paths == ["."] else ", ".join(paths)
    return Material(subject=subject, files=files, left_out=[name for name in names if name not in set(files)])


def _below(workspace: Workspace, path: str) -> Iterator[str]:
    """The files in the folder `path`, or that one file. Refusal when there is none of that name."""
    target = workspace.readable(path)
    if target.is_file():
        yield workspace.shown(target)
    elif not target.is_dir():
        raise Refusal(f"there is no {path!r} in {workspace.project!r}; give `paths` from that folder")
    for where, folders, names in os.walk(target):
        folders[:] = sorted(set(folders) - SKIPPED)
        yield from (workspace.shown(Path(where, name)) for name in sorted(names) if Path(where, name).is_file())


def _changed(project: str, base: str, paths: list[str]) -> Material:
    git = _Git(project)
    since = git.commit(base)
    chosen = [f":(literal){path}" for path in paths or ["."]]
    workspace = Workspace(project=project, files="")
    names = git.names(*DIFF, "--name-only", "-z", since, "--", *chosen)
    new = git.names("ls-files", "--others", "--exclude-standard", "-z", "--", *chosen)
    left_out = [name for name in [*names, *new] if not workspace.is_readable(name)]
    kept, added = ([name for name in each if name not in set(left_out)] for each in (names, new))
    where = f" in {', '.join(paths)}" if paths else ""
    if not kept and not added:
        raise Refusal(
            f"nothing has changed{where or f' in {project!r}'} since {base!r}, so there is nothing to review"
            f"{' but files that no agent may read' if left_out else ''}; give another `base`, such as HEAD~1 or the "
            "branch that this one began from, or `paths` without `base` for files as they are"
        )
    if max(len(kept), len(added), len(left_out)) > LISTED:
        raise Refusal(f"over {LISTED} files have changed{where} since {base!r}; name `paths` to review a part of them")
    hidden = [f":(exclude,literal){name}" for name in left_out]
    return Material(
        subject=f"what has changed{where} since {base} ({since[:10]})",
        diff=git.said(*DIFF, since, "--", *chosen, *hidden) if kept else "",
        files=list(map(_text, kept)),
        new=list(map(_text, added)),
        left_out=list(map(_text, left_out)),
    )


class _Git:
    """The git of one folder, which runs no program that the repository's configuration names."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._settings = [*SETTINGS]
        # Git cleans a file with such a filter before it compares it, and an attribute in the repository chooses it.
        found = self._output("config", "--null", "--name-only", "--get-regexp", r"^filter\.", fine=(0, 1))
        for name in filter(None, found.decode(errors="replace").split("\0")):
            if "=" in name:
                raise Refusal(f"git's setting {name!r} cannot be turned off, since its name holds a '='; rename it")
            self._settings.append(f"{name}=false" if name.endswith(".required") else f"{name}=")

    def commit(self, base: str) -> str:
        """Where the current branch left `base`, or `base` where they have nothing in common. Refusal if it is none."""
        found = self.said("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", fine=(0, 1)).strip()
        if not found:
            raise Refusal(
                f"base is {base!r}, which is no commit of {self._project!r}; give a branch, a tag or a commit that "
                "`git log` shows, or `paths` without `base` for files as they are"
            )
        return self.said("merge-base", found, "HEAD", fine=(0, 1)).strip() or found

    def names(self, *arguments: str) -> list[str]:
        """The paths that git names, each as a path is given to other programs."""
        return [os.fsdecode(name) for name in self._output(*arguments).split(b"\0") if name]

    def said(self, *arguments: str, fine: Sequence[int] = (0,)) -> str:
        """What git says, as text. Refusal when its exit status is not one of `fine`."""
        return self._output(*arguments, fine=fine).decode(errors="replace")

    def _output(self, *arguments: str, fine: Sequence[int] = (0,)) -> bytes:
        settings = [word for each in self._settings for word in ("-c", each)]
        command = ["git", "--no-pager", "--no-optional-locks", *settings, *arguments]
        environ = {**{name: os.environ[name] for name in KEPT if name in os.environ}, **NO_NETWORK}
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self._project,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
            except (OSError, ValueError) as error:
                raise Refusal(f"git cannot be run in {self._project!r}: {error}") from None
            output, is_late = _read(process)
            errors.seek(0)
            said = errors.read(LIMIT_BYTES).decode(errors="replace")
        if is_late:
            raise Refusal(f"git {arguments[0]} took longer than {SECONDS:g} s in {self._project!r}; name `paths`")
        if len(output) > LIMIT_BYTES:
            raise Refusal(
                f"the changes are over {LIMIT_BYTES:,} bytes long; name `paths` to review a part, or a nearer `base`"
            )
        if process.returncode not in fine:
            raise Refusal(f"git {arguments[0]} failed in {self._project!r}: {' '.join(said.split())[:300]}")
        return output


def _read(process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
    """What the process says, a byte more than the limit at most, and whether it was ended since it took too long."""
    late = threading.Event()

    def end() -> None:
        """End it, and note why."""
        late.set()
        process.kill()

    clock = threading.Timer(SECONDS, end)
    clock.start()
    try:
        with process:
            assert process.stdout is not None
            output = process.stdout.read(LIMIT_BYTES + 1)
            if len(output) > LIMIT_BYTES:
                process.kill()
    finally:
        clock.cancel()
    return output, late.is_set()


def _text(name: str) -> str:
    """A path as JSON can hold it: one that is not UTF-8 has replacement characters."""
    return os.fsencode(name).decode(errors="replace")
