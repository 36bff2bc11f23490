"""What an exception during the loading of a skill means to its author, in a sentence."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sagaflow_mcp import authorship, records, skill_imports
from sagaflow_mcp.authorship import Place
from sagaflow_mcp.errors import BrokenSkill, SagaflowError

_CANNOT_IMPORT = re.compile(r"cannot import name '([^']+)' from (partially initialized module )?'([^']+)'")
_VERSIONED = re.compile(rf"{skill_imports.TOP}\.(\w+)_[0-9a-f]{{12}}")


def refusal(name: str, error: BaseException) -> BrokenSkill:
    """The refusal to run skill `name`, whose loading raised `error`."""
    cause = error.__cause__
    if isinstance(error, RuntimeError) and cause is not None and str(error).startswith("Failed validating workflow"):
        return refusal(name, cause)
    place = _place(error)
    where = "" if isinstance(error, SyntaxError) else place.aside
    sentence = records.one_line(f"skill {name!r}{where} {_predicate(error)}", records.SENTENCE_LIMIT)
    return BrokenSkill(sentence, *place)


def _place(error: BaseException) -> Place:
    if isinstance(error, SyntaxError):
        # It was not raised where it is.
        return Place(authorship.author_path(error.filename or ""), error.lineno)
    if isinstance(error, BrokenSkill) and error.file:
        return Place(error.file, error.line)
    return authorship.place(error)


def _predicate(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"has a syntax error in {error.filename}, line {error.lineno}: {error.msg}"
    if isinstance(error, ImportError):
        return _import_predicate(error)
    if isinstance(error, SystemExit):
        return "ends the program while it is loaded; a skill must not call sys.exit() at import"
    if not isinstance(error, Exception):
        return f"raises {type(error).__name__} while it is loaded; a skill must not do that at import"
    if isinstance(error, SagaflowError):
        return f"cannot be loaded: {error}"
    return f"failed while it was loaded: {type(error).__name__}: {error}"


def _import_predicate(error: ImportError) -> str:
    """What was to be imported, and why it is not there."""
    found = _CANNOT_IMPORT.match(str(error))
    module = (found.group(3) if found else error.name) or ""
    written = _as_written(module, error)
    what = f"{found.group(1)!r} from {written}" if found else f"{written!r}"
    if module.partition(".")[0] == "sagaflow_mcp":
        return f"imports {what}, which this version of Sagaflow does not have"
    if _VERSIONED.match(module):
        circle = "; its modules import each other" if found and found.group(2) else ""
        return f"imports {what}, which it does not have{circle}"
    if module.partition(".")[0] == "skills":
        return f"imports {what}: a skill can import its own modules and Sagaflow's, not those of another skill"
    if isinstance(error, ModuleNotFoundError) and _is_beside(module, error):
        return f"imports {what} as if it were installed, but it is the skill's own: write `from . import {module}`"
    if isinstance(error, ModuleNotFoundError):
        return f"imports {what}, which is not installed; Sagaflow runs skills with {sys.executable}"
    return f"cannot import {what}: {error}"


def _is_beside(module: str, error: ImportError) -> bool:
    """Whether there is a module of that name beside the one that imports it."""
    file = authorship.place(error).file
    beside = Path(file).with_name(module)
    return bool(file and module) and (beside.with_suffix(".py").is_file() or (beside / "__init__.py").is_file())


def _as_written(module: str, error: ImportError) -> str:
    """`module` by the name that the skill's author knows it by."""
    if "sagaflow_mcp" not in authorship.source_line(error):
        module = re.sub(r"^sagaflow_mcp\b", "sagaflow", module)
    return _VERSIONED.sub(r"skills.\1", module)
