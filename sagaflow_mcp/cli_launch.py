"""`sagaflow launch`: a run started from a shell, with its progress where one waits for it."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import (
    argument_schema,
    cli_output,
    faces,
    following,
    launch,
    records,
    run_words,
    runs,
    terminal,
    wording,
)
from sagaflow_mcp.errors import Failure, Refusal, SagaflowError, UsageRefusal
from sagaflow_mcp.reports import result_text
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.runs import Run


MIN_SECONDS, MAX_SECONDS = 0.001, 1e9
"""What Temporal can keep as an execution timeout: from a millisecond to about thirty years."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Launch what `options` ask for; with --await 1 when it does not end well."""
    seconds = options.execution_timeout
    if seconds is not None and not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise UsageRefusal(
            f"--execution-timeout {seconds:g} is not a number of seconds from 0.001 to {MAX_SECONDS:.0e}"
        )
    request = launch.Request(
        skill=options.skill or launch.TASK,
        arguments=options.arguments,
        run_id=options.run_id,
        bundled=options.task is not None,
        allow=tuple(options.allow),
        project_dir=faces.CLI.folder(os.environ),
        execution_timeout=timedelta(seconds=options.execution_timeout) if options.execution_timeout else None,
    )
    try:
        launched = anyio.run(launch.launch, settings, request)
    except Refusal:
        if not options.skill_gets_task or _takes_task(settings, options.skill):
            raise
        raise UsageRefusal(
            f"--task is given with skill {options.skill!r}, which has no such parameter; "
            "give a SKILL or a --task, and not both"
        ) from None
    begun = [f"{'attached to' if launched.attached else 'launched'} {launched.run_id}"]
    if launched.allowed_tools is not None:
        begun.append(wording.rights(launched.allowed_tools))
    if options.wait:
        return _ended(_waited_for(settings, launched.run_id, begun, options.as_json), as_json=options.as_json)
    return _begun(runs.get(settings.home, launched.run_id), begun, as_json=options.as_json)


def _takes_task(settings: Settings, skill: str) -> bool:
    """Whether `skill` has an argument of that name, or it cannot be known."""
    try:
        _, verdict = launch.inspect(settings, skill, faces.CLI)
    except SagaflowError:
        return True
    return verdict.arguments is None or launch.TASK in argument_schema.whole(verdict.arguments).get("properties", {})


def show_parameters(name: str) -> None:
    """Print what the skill `name` takes. Refusal when it cannot be launched."""
    listed, verdict = launch.inspect(Settings.of_user(os.environ), name, faces.CLI)
    screen = cli_output.screen()
    for line in wording.usage(listed, verdict):
        screen.show(line)


def _begun(found: Run, begun: list[str], *, as_json: bool) -> int:
    if as_json:
        _print_json(found)
    elif found.is_open:
        print(*begun, sep="\n")
        print(f"its ending will be in the inbox: sagaflow inbox, or: sagaflow show {found.run_id}")
    else:
        _print_result(found.result)
    return 0


def _waited_for(settings: Settings, run_id: str, begun: list[str], as_json: bool) -> Run:
    """The run, once it has ended. KeyboardInterrupt that says how to find it at ^C."""
    show = _Progress(begun, quiet=as_json)
    try:
        return anyio.run(_followed, settings, run_id, show)
    except KeyboardInterrupt:
        # Not in the task that waits: a second ^C interrupts that anywhere. Another one here would cost the sentence.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt(f"no longer waiting; the run goes on: sagaflow show {run_id}") from None
    finally:
        show.end()


async def _followed(settings: Settings, run_id: str, show: _Progress) -> Run:
    found = runs.get(settings.home, run_id)
    async for found in following.follow(settings, run_id):
        show(found)
    return found


def _ended(found: Run, *, as_json: bool) -> int:
    if as_json:
        _print_json(found)
    elif found.state == "DONE":
        _print_result(found.result)
    if found.state != "DONE":
        raise Failure(f"{found.run_id} {found.state}: {records.one_line(found.summary)}")
    return 0


def _print_json(run: Run) -> None:
    about = {"run_id": run.run_id, "state": run.state, "summary": run.summary, "result": run.result}
    # One line: a script takes the last one, as it does without --json.
    cli_output.print_json({**about, "run_dir": run.run_dir, "report_path": run.report_path}, indent=None)


def _print_result(result: object) -> None:
    text = result_text(result)
    print(records.for_terminal(text) if terminal.is_terminal(sys.stdout) else text)


class _Progress:
    """Shows a run while one waits: a line that changes on a terminal, plain lines in a pipe, nothing when quiet."""

    def __init__(self, begun: list[str], *, quiet: bool) -> None:
        self._quiet = quiet
        self._screen = terminal.Screen(sys.stderr, os.environ)
        self._changes = self._screen.can_change and not quiet
        for line in begun if self._changes else ():
            self._screen.show(line)
        self._shown = ""
        self._began = time.monotonic()

    def end(self) -> None:
        """Leave no line that changes behind."""
        if self._changes:
            self._screen.change("")

    def __call__(self, found: Run) -> None:
        if self._quiet or not found.is_open:
            return
        if self._changes:
            waited = wording.duration(time.monotonic() - self._began)
            self._screen.change(f"{waited}  {wording.progress(found)}")
            return
        line = run_words.line(found)
        if line != self._shown:
            print(records.one_line(line, 500), file=sys.stderr, flush=True)
            self._shown = line
