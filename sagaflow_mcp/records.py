"""The records that Sagaflow keeps in files, and the form in which foreign text may be shown.

A record is read strictly: a file that does not parse is damage to report, never a half-read record.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

ENDINGS = frozenset({"CANCELLED", "DONE", "FAILED", "TERMINATED", "TIMED_OUT"})
"""The statuses that end a run."""

STATUSES = ENDINGS | {"NEEDS_INPUT", "NOTE", "PAUSED"}
"""All statuses of an inbox entry."""

SCHEMA = 1
"""The version of both records."""

SIZE_LIMIT = 64 * 1024
"""Characters in one record. Its text fields are lines and paths; what is longer belongs into the run's folder."""

SENTENCE_LIMIT = 1000
"""The longest sentence about an error that anybody is shown, in characters."""

_RUN_ID = r"[a-z0-9][a-z0-9._-]{0,99}"
_RUN_IDS = re.compile(_RUN_ID)
_ENTRY_IDS = re.compile(_RUN_ID + r"~[0-9a-z]{1,20}")
_MOMENTS = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,6})?(Z|\+00:00)")

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\x9d]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-~]"
)
"""Terminal sequences (ECMA-48): control sequences, operating system commands, two-character escapes."""

_INVISIBLE = (
    0x34F,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    0x2800,
    0x3164,
    0xFFA0,
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
)
"""Characters that show nothing although `str.isprintable` accepts them: text can hide in them."""

_UNSEEN = dict.fromkeys(_INVISIBLE)
_HARMLESS = {**_UNSEEN, ord("<"): "\u2039", ord(">"): "\u203a"}
_RAW_PER_SHOWN = 8
"""Characters looked at per character shown, so that a megabyte costs no more than a page."""


class Entry(NamedTuple):
    """One entry of the inbox."""

    entry_id: str
    """`<run_id>~<tail>`; the tail is 1 to 20 of a-z and 0-9. Delivering the same id again changes nothing."""
    run_id: str
    """The run that it tells of."""
    skill: str
    """The skill that was launched."""
    status: str
    """One of `STATUSES`."""
    summary: str
    """A sentence. It may come from a model: show it through `one_line`."""
    created_at: str
    """UTC, ISO 8601, such as `2030-01-31T08:15:00Z`."""
    report_path: str = ""
    """The run's report; empty if there is none."""
    project_dir: str = ""
    """The folder that the run was launched from; empty if unknown."""
    schema: int = SCHEMA
    """The version of this record."""

    @classmethod
    def parse(cls, text: str) -> Entry:
        """The entry in the JSON object `text`; ValueError with the reason if it is not exactly one."""
        entry = cls(**_fields(text, cls._fields))
        if not is_entry_id(entry.entry_id) or entry.entry_id.partition("~")[0] != entry.run_id:
            raise ValueError(f"entry_id {entry.entry_id[:130]!r} is not '<run_id>~<1 to 20 of a-z, 0-9>'")
        if entry.status not in STATUSES:
            raise ValueError(f"status {entry.status[:40]!r} is not one of {', '.join(sorted(STATUSES))}")
        _check_moment(entry.created_at)
        return entry

    def to_json(self) -> str:
        """The JSON object that `parse` reads, in one line."""
        return json.dumps(self._asdict())

    @property
    def is_ending(self) -> bool:
        """Whether the run was over when this was written."""
        return self.status in ENDINGS

    @property
    def age_key(self) -> str:
        """`created_at` in a form that sorts by time, whichever way UTC is written in it."""
        return age_key(self.created_at)


class OpenRun(NamedTuple):
    """The marker of a run whose ending has not been delivered."""

    run_id: str
    """The run."""
    skill: str
    """The skill that was launched."""
    digest: str
    """The version of the skill that the run keeps."""
    project_dir: str
    """The folder that the run was launched from."""
    created_at: str
    """UTC, ISO 8601; the marker is older than the start of the run."""
    arguments_hash: str
    """Tells whether a second launch of the same run id asks for the same."""
    launcher: str = ""
    """The key of the Claude Code process that launched the run; empty if there was none."""
    schema: int = SCHEMA
    """The version of this record."""

    @classmethod
    def parse(cls, text: str) -> OpenRun:
        """The marker in the JSON object `text`; ValueError with the reason if it is not exactly one."""
        marker = cls(**_fields(text, cls._fields))
        if not is_run_id(marker.run_id):
            raise ValueError(f"run_id {marker.run_id[:130]!r} is not 1 to 100 of a-z, 0-9, '.', '_' and '-'")
        _check_moment(marker.created_at)
        return marker

    def to_json(self) -> str:
        """The JSON object that `parse` reads, in one line."""
        return json.dumps(self._asdict())

    @property
    def age_key(self) -> str:
        """`created_at` in a form that sorts by time."""
        return age_key(self.created_at)


def age_key(moment: str) -> str:
    """The UTC time `moment` in a form that sorts by time, whichever way UTC and fractions are written in it."""
    whole, _, fraction = moment.replace("+00:00", "Z").rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<6}"


def is_run_id(text: str) -> bool:
    """Whether `text` can name a run, and so a file."""
    return _RUN_IDS.fullmatch(text) is not None


def is_entry_id(text: str) -> bool:
    """Whether `text` can name an inbox entry, and so a file."""
    return _ENTRY_IDS.fullmatch(text) is not None


def moment(seconds: float) -> str:
    """The time `seconds` after the epoch as records write it: UTC, ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def now() -> str:
    """The present moment as records write it, to the millisecond: two entries of one second keep their order."""
    seconds = time.time()
    return f"{moment(seconds)[:-1]}.{int(seconds % 1 * 1000):03d}Z"


def one_line(text: str, limit: int = 300) -> str:
    """`text` as one harmless line of at most `limit` characters; it ends with … where something was cut. Never raises.

    Nothing in it can end the line, reach the terminal, reorder the text or look like markup. Cleaning it again changes
    nothing.
    """
    return _cut(" ".join(_clean(text, limit).split()), limit, was_cut=len(text) > limit * _RAW_PER_SHOWN)


def block(text: str, limit: int) -> str:
    """`text` made harmless like `one_line`, with its lines kept: at most `limit` characters in all. Never raises.

    It holds no `<` and no `>`, so that a mark made with these around the block cannot be closed from inside.
    """
    lines = [_plain_spaces(line).rstrip() for line in _clean(text, limit).splitlines()]
    return _cut("\n".join(lines).strip("\n"), limit, was_cut=len(text) > limit * _RAW_PER_SHOWN)


def for_terminal(text: str) -> str:
    """`text` whole, its lines kept, without what could steer a terminal, hide or reorder the text. Never raises."""
    return "\n".join([_plain_spaces(line).rstrip() for line in _visible(text, _UNSEEN).split("\n")])


def middle_left_out(text: str, limit: int) -> str:
    """`text`, or its beginning and its end where it has more than `limit` characters, and how many are not shown."""
    left_out = len(text) - limit
    if left_out <= 0:
        return text
    return f"{text[: limit // 2]}\n({left_out:,} characters are not shown here)\n{text[-limit // 2 :]}"


def _clean(text: str, limit: int) -> str:
    """The beginning of `text` with only spaces, line ends and visible characters."""
    return _visible(text[: limit * _RAW_PER_SHOWN], _HARMLESS)


def _visible(text: str, replaced: dict[int, Any]) -> str:
    left = _ESCAPES.sub("", text).translate(replaced)
    return left if left.isprintable() else "".join([c for c in left if c.isprintable() or c.isspace()])


def _plain_spaces(line: str) -> str:
    return "".join([" " if c.isspace() else c for c in line.expandtabs(4)])


def _cut(text: str, limit: int, *, was_cut: bool) -> str:
    if len(text) <= limit and not was_cut:
        return text
    return text[: limit - 1].rstrip() + "…"


def _fields(text: str, names: Iterable[str]) -> dict[str, Any]:
    """The object `text`: exactly `names`, all strings, `schema` a version that we know; ValueError if not."""
    if len(text) > SIZE_LIMIT:
        raise ValueError(f"it has {len(text)} characters, more than {SIZE_LIMIT}")
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - to a reader of files it is damage like any other
    if type(found.get("schema")) is not int or found["schema"] != SCHEMA:
        raise ValueError(f"schema {str(found.get('schema'))[:20]!r} is not {SCHEMA}: another version wrote it")
    if found.keys() != set(names):
        raise ValueError(f"its fields are not {', '.join(names)}")
    for name, value in found.items():
        if name != "schema" and not isinstance(value, str):
            raise ValueError(f"{name} is not a string")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _check_moment(text: str) -> None:
    if not _MOMENTS.fullmatch(text):
        raise ValueError(f"created_at {text[:40]!r} is not a UTC time such as '2030-01-31T08:15:00Z'")
