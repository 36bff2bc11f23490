"""Inbox entries that come before a run's ending: delivered at once, or left in the run's folder for who delivers.

A worker that joined from another machine has the run's folder, but not the inbox.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, inbox, notify, records

if TYPE_CHECKING:
    from sagaflow_mcp.durable.context import Services, StepContext
    from sagaflow_mcp.settings import Settings


def entry(step: StepContext, tail: str, status: str, summary: str) -> records.Entry:
    """An entry about the run of `step`; `tail` is what its id ends with."""
    return records.Entry(
        entry_id=f"{step.run_id}~{tail}",
        run_id=step.run_id,
        skill=step.skill,
        status=status,
        summary=summary,
        created_at=records.now(),
        report_path="",
        project_dir=step.project_dir,
    )


def tell(services: Services, entry: records.Entry, *, show: bool) -> None:
    """Have `entry` in the inbox, once; `show` says whether as a desktop notification too.

    Raises:
        ValueError: the entry is not one that could be read back.
        Failure: it could not be written.
        OSError: it could not be left in the run's folder.
    """
    if services.joined:
        _leave(Path(services.home.run(entry.run_id)), entry, show=show)
    elif inbox.deliver(services.home, entry) and show:
        notify.show(services.settings, entry)


def _leave(run_dir: Path, entry: records.Entry, *, show: bool) -> None:
    records.Entry.parse(entry.to_json())
    folder = _folder(run_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    artifacts.write_json(folder / f"{entry.entry_id}.json", {"entry": entry.to_json(), "show": show})


def collect(settings: Settings, run_id: str) -> None:
    """Deliver what was left in the folder of the run `run_id`. OSError or Failure where that cannot be done now."""
    folder = _folder(Path(settings.home.run(run_id)))
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.json")):
        left = artifacts.read_json(path) or {}
        try:
            entry = records.Entry.parse(str(left.get("entry")))
        except ValueError:
            continue  # It is damaged; the run's folder keeps it.
        if entry.run_id == run_id and inbox.deliver(settings.home, entry) and left.get("show"):
            notify.show(settings, entry)
        path.unlink(missing_ok=True)


def _folder(run_dir: Path) -> Path:
    return run_dir / "journal" / "entries"
