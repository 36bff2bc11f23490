"""A process of the `claude` command, which never outlives the call that it was started for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from typing import TYPE_CHECKING

from sagaflow_mcp import records
from sagaflow_mcp.models._claude_outcome import Outcome
from sagaflow_mcp.models._types import CommandError, IncompleteReply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import IO

SILENCE_SECONDS = 300.0
"""How long the command may say nothing. It passes on each piece of a reply, but not the pings between them."""

LAST_WORDS_BYTES = 8_000
"""How much of the end of standard error is read, for the reason of a failure."""

LINE_LIMIT = 64 * 1024 * 1024
"""The longest line read, in bytes: one line holds a whole reply."""

END_SECONDS = 5.0
"""How long a command that was killed may take to be gone."""

LEASH = """\
prompt=$1
shift
exec 3<&0
"$@" <"$prompt" 3<&- &
child=$!
{ read -r _; kill -KILL 0; } <&3 &
exec 3<&-
wait "$child"
status=$?
kill -KILL "$!"
exit "$status"
"""
"""Runs a command; when its own standard input ends, as it does when we die, the whole process group is killed."""

CANNOT_RUN = (126, 127)
"""What a shell reports of a command that is not there or is none."""


async def run(command: Sequence[str], said: str, folder: str, environ: dict[str, str]) -> Outcome:
    """What `command`, which reads `said` and works in `folder`, has said when it ends; cancelling the call ends it.

    Raises:
        CommandError: it cannot be run.
        IncompleteReply: it fell silent.
    """
    outcome = Outcome()
    # Not a pipe for the errors: what the command has left running may hold that open, and would be waited for.
    with tempfile.TemporaryFile() as prompt, tempfile.TemporaryFile() as errors:
        prompt.write(said.encode(errors="replace"))
        prompt.seek(0)
        async with _leashed(command, prompt.fileno(), errors.fileno(), folder, environ) as process:
            assert process.stdout is not None
            try:
                while line := await asyncio.wait_for(process.stdout.readline(), SILENCE_SECONDS):
                    outcome.hear(line)
                await asyncio.wait_for(process.wait(), SILENCE_SECONDS)
            except (TimeoutError, ValueError) as error:
                raise IncompleteReply(
                    f"the claude command said nothing for {SILENCE_SECONDS:g} s"
                    if isinstance(error, TimeoutError)
                    else "the claude command said more in one line than any reply holds"
                ) from error
        outcome.complaint = _last_words(errors)
    if process.returncode in CANNOT_RUN:
        raise CommandError(400, "cannot_run", f"it cannot be run: {records.one_line(outcome.complaint, 300)}")
    return outcome


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
    return errors.read().decode(errors="replace").strip()


@contextlib.asynccontextmanager
async def _leashed(
    command: Sequence[str], prompt: int, errors: int, folder: str, environ: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`command` with the descriptors `prompt` to read and `errors` to complain to.

    Nothing of it is left afterwards, not even if we are killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", LEASH, "sagaflow-claude", f"/dev/fd/{prompt}", *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            pass_fds=(prompt,),
            start_new_session=True,
            cwd=folder,
            env=environ,
            limit=LINE_LIMIT,
        )
    except OSError as error:
        raise CommandError(400, "cannot_run", f"it cannot be run: {error}") from error
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):  # A descendant that has left the group may hold the output open.
            await asyncio.wait_for(process.wait(), END_SECONDS)
