"""The pinned copy of a skill: the code and the prompts that a run keeps, whatever happens to the original."""

from __future__ import annotations

import contextlib
import json
import keyword
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagaflow_mcp import authorship, digest, faces, paths, processes, skill_imports
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sagaflow_mcp.paths import Home

ATTEMPTS = 5
"""How often a copy is begun again because the skill was edited meanwhile."""

TURN_SECONDS = 20.0
"""How long to wait for others that look for a copy or move one away, each of which takes a millisecond."""


class Source(NamedTuple):
    """A skill where its author keeps it."""

    name: str
    path: Path
    root: str
    """Which kind of root it was found in: `path`, `project`, `user` or `bundled`."""
    form: Literal["workflow", "agent"]
    trusted: str | None = None
    """The digest of what the user trusts of it, where it is a project's; None where it may hold anything."""


class Pinned(NamedTuple):
    """One version of a skill in the home."""

    name: str
    digest: str
    code: Path
    """The copied directory."""

    @property
    def folder(self) -> Path:
        """What is kept about this version, the copy included."""
        return self.code.parent

    @property
    def package(self) -> str:
        """The import name of this version: two versions never share one."""
        # Temporal's sandbox writes `from <package> import …`, in which no name may begin with a digit.
        letter = "_" if self.name[0].isdigit() else ""
        return f"{skill_imports.TOP}.{letter}{self.snake_name}_{self.digest[:12]}"

    @property
    def snake_name(self) -> str:
        """The skill's name as its own code imports it; with a `_` before what would be no name in Python."""
        word = self.name.replace("-", "_")
        return word if word.isidentifier() and not keyword.iskeyword(word) else f"_{word}"


def locate(home: Home, name: str, version: str) -> Pinned:
    """The version of skill `name` with the digest `version`; nothing is checked or read."""
    return Pinned(name, version, Path(home.skills, name, version, "code"))


def pin(home: Home, source: Source, face: faces.Face = faces.CLI) -> Pinned:
    """The pinned copy of what `source` holds now, made if there is none. Safe in any number of processes at once.

    Raises:
        Refusal: the skill cannot be copied as it is: see `digest.files`; or that is not what the user trusts.
        Failure: the home cannot be written, or the skill keeps changing.
    """
    for _ in range(ATTEMPTS):
        version = digest.snapshot(str(source.path)).digest
        # Here and not before: it may be changed at any moment, and the copy is of exactly this digest.
        if source.trusted not in {None, version}:
            cure = face.how_to_trust(str(source.path.parents[2]), home.root)
            raise Refusal(f"skill {source.name!r} of this project was changed after you trusted it; {cure}")
        pinned = locate(home, source.name, version)
        try:
            if _is_here(home, pinned) or _copy(source, pinned):
                _remember_origin(source, pinned.folder)
                return pinned
        except OSError as error:
            reason = error.strerror or str(error)
            raise Failure(f"skill {source.name!r} cannot be copied to {str(pinned.folder)!r}: {reason}") from error
    raise Failure(
        f"skill {source.name!r} in {str(source.path)!r} changed while it was copied, {ATTEMPTS} times; try again"
    )


def verify(pinned: Pinned) -> None:
    """Return when the copy is what was launched; Refusal when it is gone or was changed."""
    if not pinned.code.is_dir():
        raise Refusal(
            f"the copy of skill {pinned.name!r} that this run was launched with is gone: {str(pinned.code)!r}"
        )
    if digest.snapshot(str(pinned.code)).digest != pinned.digest:
        raise Refusal(
            f"the copy of skill {pinned.name!r} in {str(pinned.code)!r} was changed after it was made; "
            f"remove {str(pinned.folder)!r} and launch again"
        )


def drop_unused(
    home: Home, needed: Collection[tuple[str, str]], before: float, *, dry_run: bool = False
) -> tuple[int, int]:
    """How many versions were removed, or would be with `dry_run`, and their bytes.

    They are those not used since `before` and not `needed`, pairs of skill and digest.

    The version of each skill that was used last stays, so that its next launch need neither copy nor probe it. What a
    copy that was cut off has left goes too.
    """
    dropped, size = 0, 0
    for skill in _folders(Path(home.skills)):
        found = sorted(_folders(skill), key=_used_at, reverse=True)
        versions = [each for each in found if not each.name.startswith(".")]
        old = [each for each in versions[1:] if (skill.name, each.name) not in needed and _used_at(each) < before]
        if dry_run:
            dropped, size = dropped + len(old), size + sum(map(_bytes, old))
            continue
        moved = [each for each in (_moved_away(home, folder, before) for folder in old) if each]
        for folder in {*moved, *(each for each in found if each.name.startswith(".") and _used_at(each) < before)}:
            size += _bytes(folder)
            shutil.rmtree(folder, ignore_errors=True)
        dropped += len(moved)
    return dropped, size


def _is_here(home: Home, pinned: Pinned) -> bool:
    """Whether there is a copy. Then it counts as used now, so that nobody removes it before its run is written down."""
    with _turn(home):
        try:
            os.utime(pinned.folder)
        except FileNotFoundError:
            return False
        return pinned.code.is_dir()


def _moved_away(home: Home, folder: Path, before: float) -> Path | None:
    """Where `folder` is now, under a name that nobody looks for; None if it was used since `before` after all."""
    draft = _draft(folder)
    with _turn(home):
        if _used_at(folder) >= before:
            return None
        folder.rename(draft)
    return draft


@contextlib.contextmanager
def _turn(home: Home) -> Iterator[None]:
    """Hold the lock by which a launch finds a copy whole, or not at all."""
    # Not beside the copies: their folder may be shared with other machines, and lie where no lock holds.
    lock = processes.acquire(str(Path(home.engine, "versions.lock")), TURN_SECONDS)
    if lock is None:
        raise Failure(f"other processes have been looking for skills for {TURN_SECONDS:g} s; try again")
    try:
        yield
    finally:
        os.close(lock)


def _bytes(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(each.lstat().st_size for each in folder.rglob("*"))
    return 0


def _folders(folder: Path) -> list[Path]:
    return [Path(each.path) for each in os.scandir(folder) if each.is_dir(follow_symlinks=False)]


def _used_at(folder: Path) -> float:
    """When the version in `folder` was used last, as far as the launches are concerned; now, if that cannot be told."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return time.time()


def _draft(folder: Path) -> Path:
    """A name beside the version in `folder` that no version has."""
    return folder.with_name(f".{folder.name[:12]}.{os.getpid()}.{secrets.token_hex(4)}")


def _copy(source: Source, pinned: Pinned) -> bool:
    """Whether a whole and true copy is now in place; false when the skill was edited during the copy."""
    pinned.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(pinned.folder)
    try:
        code = draft / "code"
        code.mkdir(mode=0o700, parents=True)
        for file in digest.files(str(source.path)):
            _write_read_only(code / file.path, digest.read(file))
        if digest.snapshot(str(code)).digest != pinned.digest:
            return False
        _remember_origin(source, draft)
        _put_in_place(draft, pinned.folder)
        return True
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put_in_place(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        # Another process was first: its copy has the same digest.
        if not (folder / "code").is_dir():
            raise


def _write_read_only(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        # The run that needs this copy survives a power cut, so the copy must as well.
        os.fsync(file.fileno())


def _remember_origin(source: Source, folder: Path) -> None:
    """Note where the author keeps the skill, for messages; the same files may lie in several places."""
    path = folder / authorship.ORIGIN
    text = json.dumps({"source": str(source.path)}) + "\n"
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except OSError:
        pass
    paths.write_atomically(str(path), text)
