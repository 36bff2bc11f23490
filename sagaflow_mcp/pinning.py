"""The pinned copy of a skill: the code and the prompts that a run keeps, whatever happens to the original."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagaflow_mcp import authorship, digest, faces, paths, skill_imports
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

ATTEMPTS = 5
"""How often a copy is begun again because the skill was edited meanwhile."""


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
        return f"{skill_imports.TOP}.{self.snake_name}_{self.digest[:12]}"

    @property
    def snake_name(self) -> str:
        """The skill's name as its own code imports it."""
        return self.name.replace("-", "_")


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
            if pinned.code.is_dir() or _copy(source, pinned):
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


def _copy(source: Source, pinned: Pinned) -> bool:
    """Whether a whole and true copy is now in place; false when the skill was edited during the copy."""
    pinned.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = pinned.folder.with_name(f".{pinned.digest[:12]}.{os.getpid()}.{secrets.token_hex(4)}")
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
