"""The transport that asks the `claude` command, for people who have a Claude Code login and no key.

Each step has a session of Claude Code whose id is known before the call, so that an attempt after a crash goes on with
it. Nothing of the user's Claude Code takes part but its login and its settings: no plugins, hooks, MCP servers, tools
or memory files.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections import deque
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import child_environ, records
from sagaflow_mcp import credentials as credential_names
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.models._types import (
    DEFAULT_MODELS,
    CommandError,
    IncompleteReply,
    ModelReply,
    ModelRequest,
    in_words,
    model_id,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

OPTIONS = (
    *("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"),
    *("--safe-mode", "--strict-mcp-config", "--disable-slash-commands", "--tools", ""),
)
"""Known to Claude Code 2.1.197 and later. No option here grants a permission: without tools none is needed."""

SILENCE_SECONDS = 300.0
"""How long the command may say nothing. It passes on each piece of a reply, but not the pings between them."""

LINE_LIMIT = 64 * 1024 * 1024
"""The longest line read, in bytes: one line holds a whole reply."""

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

STATUSES = {
    "authentication_failed": 401,
    "billing_error": 402,
    "invalid_request": 400,
    "max_output_tokens": 400,
    "model_not_found": 404,
    "rate_limit": 429,
    "server_error": 500,
}
"""The HTTP status that stands for what the command calls an error, where it names no status."""

CANNOT_RUN = (126, 127)
"""What a shell reports of a command that is not there or is none."""

UNKNOWN_SESSION = "No conversation found"
"""What the command says of a session to resume that it has not."""


class ClaudeCommand:
    """A transport that runs `claude` once for each call."""

    def __init__(self, models: Mapping[str, str] = DEFAULT_MODELS) -> None:
        self._models = {**DEFAULT_MODELS, **models}

    async def complete(self, request: ModelRequest, *, credentials: Mapping[str, str]) -> ModelReply:
        """The model's whole reply; cancelling the call ends the command.

        Raises:
            Refusal: the tier is unknown, or the request is a conversation with tools.
            CommandError: the command cannot be run, or reports a failure.
            IncompleteReply: it ended or fell silent before the reply was complete.
        """
        if request.messages:
            raise Refusal("an agent needs a key for the Messages API: set ANTHROPIC_API_KEY where you launch from")
        request = in_words(request)
        program = credentials[credential_names.CLAUDE]
        options = [*OPTIONS, "--model", model_id(request, self._models)]
        if request.system:
            options += ["--system-prompt", request.system]
        environ = _environment(credentials, request.max_tokens)
        # An attempt before this one may have begun the session. Only the command knows.
        for way in ("--resume", "--session-id"):
            outcome = await _run([program, *options, way, request.session], request, environ)
            if UNKNOWN_SESSION not in outcome.complaint:
                break
        return _reply(outcome)


class _Outcome:
    """What the command has said."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.model = ""
        self.stop_reason = ""
        self.failure: dict[str, Any] = {}
        self.result: dict[str, Any] = {}
        self.complaint = ""

    def hear(self, line: bytes) -> None:
        """Take in one line of the command's output."""
        try:
            message = json.loads(line)
        except ValueError:
            return
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "assistant":
            said = message["message"]
            if message.get("is_api_error_message") or message.get("error"):
                self.failure = message
            self.model = said.get("model") or self.model
            self.texts += [block["text"] for block in said.get("content", ()) if block.get("type") == "text"]
        elif kind == "result":
            self.result = message
        elif kind == "stream_event" and message["event"].get("type") == "message_delta":
            self.stop_reason = message["event"]["delta"].get("stop_reason") or self.stop_reason


async def _run(command: list[str], request: ModelRequest, environ: dict[str, str]) -> _Outcome:
    outcome = _Outcome()
    with tempfile.TemporaryFile() as prompt:
        prompt.write(request.user.encode())
        prompt.seek(0)
        async with _leashed(command, prompt.fileno(), request.folder, environ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            last_words: deque[bytes] = deque(maxlen=20)
            listening = asyncio.create_task(_collect(process.stderr, last_words))
            try:
                while line := await asyncio.wait_for(process.stdout.readline(), SILENCE_SECONDS):
                    outcome.hear(line)
                await asyncio.wait_for(process.wait(), SILENCE_SECONDS)
                await listening
            except (TimeoutError, ValueError) as error:
                raise IncompleteReply(
                    f"the claude command said nothing for {SILENCE_SECONDS:g} s"
                    if isinstance(error, TimeoutError)
                    else "the claude command said more in one line than any reply holds"
                ) from error
            finally:
                listening.cancel()
    outcome.complaint = b"".join(last_words).decode("utf-8", "replace").strip()
    if process.returncode in CANNOT_RUN:
        raise CommandError(400, "cannot_run", f"it cannot be run: {records.one_line(outcome.complaint, 300)}")
    return outcome


async def _collect(stream: asyncio.StreamReader, lines: deque[bytes]) -> None:
    with contextlib.suppress(ValueError):  # A line beyond the limit.
        async for line in stream:
            lines.append(line)


@contextlib.asynccontextmanager
async def _leashed(
    command: list[str], prompt: int, folder: str, environ: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`command` with the descriptor `prompt` to read; nothing of it is left afterwards, not even if we are killed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", LEASH, "sagaflow-claude", f"/dev/fd/{prompt}", *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
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
        await process.wait()


def _environment(credentials: Mapping[str, str], max_tokens: int) -> dict[str, str]:
    # Without a key that the worker may have been started with: the call goes out on the command's own login.
    return {
        **child_environ.of_child(os.environ),
        **credentials,
        "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
        "CLAUDE_CODE_DISABLE_TERMINAL_TITLE": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(max_tokens),
        "CLAUDE_CODE_MAX_RETRIES": "0",  # Retries belong to Temporal alone.
        "DISABLE_AUTOUPDATER": "1",
        "MAX_THINKING_TOKENS": "0",
    }


def _reply(outcome: _Outcome) -> ModelReply:
    if outcome.failure or outcome.result.get("is_error"):
        raise _failure(outcome)
    if not outcome.result:
        why = records.one_line(outcome.complaint.splitlines()[-1] if outcome.complaint else "it said nothing", 300)
        if "unknown option" in why:
            raise CommandError(400, "too_old", f"it is too old ({why}); update Claude Code")
        raise IncompleteReply(f"the claude command ended without a reply: {why}")
    usage = outcome.result.get("usage") or {}
    return ModelReply(
        text="".join(outcome.texts),
        model=outcome.model,
        stop_reason=outcome.stop_reason or str(outcome.result.get("stop_reason") or ""),
        input_tokens=int(usage.get("input_tokens") or 0),
        output_tokens=int(usage.get("output_tokens") or 0),
        cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
        cache_creation_tokens=int(usage.get("cache_creation_input_tokens") or 0),
    )


def _failure(outcome: _Outcome) -> CommandError:
    """What the command reports, as the HTTP status that it stands for."""
    named = str(outcome.failure.get("error") or "")
    status = outcome.failure.get("api_error_status") or STATUSES.get(named) or 500
    said = "".join(outcome.texts[-1:]) or str(outcome.result.get("result") or named or "no reason")
    kind = str(outcome.failure.get("api_error_type") or named)
    return CommandError(int(status), kind, records.one_line(said, 300))
