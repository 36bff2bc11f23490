"""The tools that read and change a file."""

from __future__ import annotations

import stat
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from sagaflow_mcp import paths
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.agent_tools._workspace import Workspace

LARGEST_BYTES = 10 * 1024 * 1024
"""The largest file that is read or edited, also after the edit."""

NEW_FILE = 0o644
"""The permissions of a new file: those that it has under the usual umask."""


class ReadFile(BaseModel):
    """Read a text file, or a part of it. Lines are numbered from 1."""

    path: Annotated[str, Field(description="relative to the working folder, or absolute")]
    offset: Annotated[int, Field(ge=1, description="the first line to read")] = 1
    limit: Annotated[int, Field(ge=1, le=5000, description="how many lines to read")] = 1000


class WriteFile(BaseModel):
    """Write a text file, in place of what it held before."""

    path: Annotated[str, Field(description="relative to the working folder, or absolute")]
    content: Annotated[str, Field(description="all of the file's text")]


class EditFile(BaseModel):
    """Replace a text that stands in a file once."""

    path: Annotated[str, Field(description="relative to the working folder, or absolute")]
    old: Annotated[str, Field(min_length=1, description="the text to replace, exactly as it stands there")]
    new: Annotated[str, Field(description="the text to put in its place")]
    all: Annotated[bool, Field(description="replace it wherever it stands")] = False


def read_file(given: ReadFile, workspace: Workspace) -> str:
    """The lines asked for, each with its number. Refusal when the file cannot be read."""
    path = workspace.readable(given.path)
    text = _text(path, given.path)
    # Not str.splitlines, to which a form feed ends a line: grep would number them otherwise.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    first = given.offset - 1
    if first >= len(lines):
        return f"({given.path} has {len(lines)} lines)"
    shown = [f"{number}\t{line}" for number, line in enumerate(islice(lines, first, first + given.limit), given.offset)]
    left = len(lines) - first - len(shown)
    return "\n".join([*shown, f"({left} more lines)"] if left else shown)


def write_file(given: WriteFile, workspace: Workspace) -> str:
    """What was written. Refusal when it cannot be."""
    path = workspace.writable(given.path)
    _write(path, given.path, given.content)
    return f"wrote {len(given.content)} characters to {given.path}"


def edit_file(given: EditFile, workspace: Workspace) -> str:
    """What was replaced. Refusal when the text does not stand there once."""
    path = workspace.writable(given.path)
    text = _text(path, given.path)
    old, new = (_with_ends_of(text, each) for each in (given.old, given.new))
    count = text.count(old)
    if not count:
        raise Refusal(f"{given.path!r} does not hold that text; read it again and give the text as it stands there")
    if count > 1 and not given.all:
        raise Refusal(f"{given.path!r} holds that text {count} times; give more of what stands around it, or all=true")
    if len(text) + count * (len(new) - len(old)) > LARGEST_BYTES:
        raise Refusal(f"{given.path!r} would have over {LARGEST_BYTES:,} bytes then; replace less")
    _write(path, given.path, text.replace(old, new))
    return f"replaced it {count} times in {given.path}" if count > 1 else f"replaced it in {given.path}"


def _with_ends_of(text: str, given: str) -> str:
    """`given` with the line ends of `text`, which nobody sees who reads it by lines."""
    is_crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
    return given.replace("\r\n", "\n").replace("\n", "\r\n") if is_crlf else given


def _text(path: Path, shown: str) -> str:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Refusal(f"{shown!r} is not a file" + ("; glob lists a folder" if stat.S_ISDIR(about.st_mode) else ""))
        if about.st_size > LARGEST_BYTES:
            raise Refusal(
                f"{shown!r} has {about.st_size:,} bytes; at most {LARGEST_BYTES:,} are read; search it instead"
            )
        return path.read_bytes().decode()
    except OSError as error:
        raise Refusal(f"{shown!r} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise Refusal(f"{shown!r} is not a text in UTF-8") from None


def _write(path: Path, shown: str, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat() if path.exists() else None
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise Refusal(f"{shown!r} is not a file")
        paths.write_atomically(str(path), content, like=before)
        if before is None:
            path.chmod(NEW_FILE)
    except OSError as error:
        raise Refusal(f"{shown!r} cannot be written: {error.strerror or error}") from error
    except UnicodeEncodeError:
        raise Refusal(f"the content for {shown!r} is not valid Unicode") from None
