"""The questions that a run asks people now, as files in its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from sagaflow_mcp import artifacts, records

FOLDER = "questions"


@dataclass(frozen=True)
class Question:
    """What is asked."""

    id: str
    """1 to 20 of a-z and 0-9; it also ends the id of the question's inbox entry."""
    question: str
    options: tuple[str, ...] = ()
    """The answers that are taken; none for any text."""
    workflow_id: str = ""
    """The Temporal workflow that asks: the run's own, or that of a child; empty while it is not asked yet."""
    asked_at: str = ""
    """UTC, ISO 8601; empty while it is not asked yet."""
    asks_permission: bool = False
    """Whether it asks if an agent may make a call, which only a person decides."""
    details: str = ""
    """All that such a call is given."""


def put(run_dir: Path, question: Question) -> None:
    """Ask it from now on. OSError if that cannot be written."""
    folder = run_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{question.id}.json"
    is_new = not path.exists()
    artifacts.write_json(path, asdict(question))
    if is_new:
        artifacts.note_event(run_dir, "question_asked", id=question.id, label=question.question)


def remove(run_dir: Path, question_id: str) -> None:
    """Ask it no more."""
    try:
        Path(run_dir, FOLDER, f"{question_id}.json").unlink()
    except FileNotFoundError:
        return
    artifacts.note_event(run_dir, "question_closed", id=question_id)


def listing(run_dir: Path) -> list[Question]:
    """What is asked now, oldest first; damaged files are left out."""
    found = []
    for path in Path(run_dir, FOLDER).glob("*.json"):
        about = artifacts.read_json(path) or {}
        options = about.get("options")
        if about.get("id") == path.stem and isinstance(options, list):
            texts = {name: str(about.get(name, "")) for name in ("question", "workflow_id", "asked_at", "details")}
            is_permission = about.get("asks_permission") is True
            found.append(
                Question(id=path.stem, options=tuple(map(str, options)), asks_permission=is_permission, **texts)
            )
    return sorted(found, key=lambda question: question.asked_at)


def summary(question: Question) -> str:
    """The question and what it takes, in a line."""
    options = f" ({' / '.join(question.options)})" if question.options else ""
    return records.one_line(f"{question.question}{options}", records.SENTENCE_LIMIT)
