"""`sagaflow show`: one run, whole, in the terminal, as JSON or as a page."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import cli_output, run_details, run_page, run_words, wording
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.run_details import RunDetails


def show(options: argparse.Namespace, home: Home) -> int:
    """Show the run that `options` name."""
    found = run_details.get(home, options.run_id)
    if options.html is not None:
        return _page(found, options)
    if options.as_json:
        return cli_output.print_json(fields(found))
    screen = cli_output.screen()
    for line in run_words.sheet(found, options.lines, paint=screen.paint):
        screen.show(line)
    if found.run.report_path:
        print(wording.report(found.run))
    return 0


def fields(found: RunDetails, html: str = "") -> dict[str, Any]:
    """The run as scripts read it."""
    return {
        **asdict(found.run),
        "steps": [asdict(each) for each in found.totals],
        "artifacts": [asdict(each) for each in found.artifacts],
        "log_path": found.log_path,
        "html": html,
    }


def _page(found: RunDetails, options: argparse.Namespace) -> int:
    """Write the page, to standard output where its name is -."""
    page = run_page.page(found)
    if options.html == "-":
        print(page)
        return 0
    path = Path(options.html or f"{found.run.run_id}.html").absolute()
    _write(path, page, force=options.force)
    if options.as_json:
        return cli_output.print_json(fields(found, str(path)))
    print(path)
    return 0


def _write(path: Path, text: str, *, force: bool) -> None:
    if path.is_dir():
        raise Refusal(f"{str(path)!r} is a folder; give the name of a file")
    try:
        # With x: a file that comes into being meanwhile is not written over either.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL), 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            file.write(text)
    except FileExistsError:
        raise Refusal(f"{str(path)!r} is there already; give another name, or --force to replace it") from None
    except OSError as error:
        raise Failure(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
