"""A skill's prompts: the Markdown files in its `prompts` folder."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from sagaflow_mcp import authorship, skill_file
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

__all__ = ["load_prompt"]


def load_prompt(file: str, name: str, substitutions: Mapping[str, object] | None = None) -> str:
    """The text of `prompts/<name>.md` beside `file`, without its last newline.

    With `substitutions`, `$variable` and `${variable}` are replaced and `$$` becomes `$`; any other `$` stays.
    It may be called in a workflow: the text is the one the run was launched with, on every replay.

    Args:
        file: the calling module's `__file__`.
        name: the prompt's name, such as `greeter.system`.
        substitutions: the value of every variable in the text.

    Raises:
        Refusal: there is no such file in the folder, or a variable has no value.
    """
    with _file_access():
        folder = Path(file).resolve().parent / "prompts"
        path = _confined(folder, name)
        text = _read(folder, path, name).removesuffix("\n")
    return text if substitutions is None else _substitute(text, substitutions, path)


def load_skill_file(file: str) -> str:
    """The text of the SKILL.md beside `file`, a module's `__file__`. Refusal when it cannot be read.

    It may be called in a workflow, as `load_prompt` may.
    """
    path = Path(file).parent / skill_file.NAME
    with _file_access():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{authorship.author_path(str(path))!r} cannot be read: {error}") from error


def exists(file: str, name: str) -> bool:
    """Whether there is a prompt `name` beside `file`, the calling module's `__file__`."""
    with _file_access():
        return _confined(Path(file).resolve().parent / "prompts", name).is_file()


def render(file: str, name: str, text: str, substitutions: Mapping[str, object]) -> str:
    """The `text` of the prompt `name`, which `load_prompt` has read, with its variables replaced as that does.

    Raises:
        Refusal: a variable has no value.
    """
    return _substitute(text, substitutions, Path(file).parent / "prompts" / f"{name}.md")


def _file_access() -> AbstractContextManager[None]:
    """Leave to read files, which Temporal's sandbox takes from workflow code; the copy read from never changes."""
    workflow = sys.modules.get("temporalio.workflow")
    if workflow is not None and workflow.unsafe.in_sandbox():
        lifted: AbstractContextManager[None] = workflow.unsafe.sandbox_unrestricted()
        return lifted
    return contextlib.nullcontext()


def _confined(folder: Path, name: str) -> Path:
    path = folder / f"{name}.md"
    if "\0" in name or folder not in path.resolve().parents:
        where = authorship.author_path(str(folder))
        raise Refusal(f"prompt {name!r} lies outside of {where!r}; give the name of a file in it")
    return path


def _read(folder: Path, path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = ", ".join(sorted(repr(each.stem) for each in folder.glob("*.md"))) or "none"
        where = authorship.author_path(str(path))
        raise Refusal(f"there is no prompt {name!r}: no file {where!r}; the prompts there are: {there}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"the prompt file {authorship.author_path(str(path))!r} cannot be read: {error}") from error


def _substitute(text: str, substitutions: Mapping[str, object], path: Path) -> str:
    template = Template(text)
    missing = [f"${each}" for each in template.get_identifiers() if each not in substitutions]
    if missing:
        where = authorship.author_path(str(path))
        raise Refusal(
            f"the prompt file {where!r} has {', '.join(missing)}, for which no value was given; "
            "add it to substitutions, or write $$ for a plain dollar sign"
        )
    return template.safe_substitute(substitutions)
