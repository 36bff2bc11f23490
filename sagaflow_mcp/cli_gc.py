"""`sagaflow gc`: what is kept no longer removed now, where the worker would do it within the hour."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
from temporalio.service import RPCError

from sagaflow_mcp import cli_output, durations, keys, retention, run_updates, wording
from sagaflow_mcp.durable import housekeeping
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse
    from datetime import timedelta

    from sagaflow_mcp.retention import Freed


def gc(options: argparse.Namespace) -> int:
    """Remove what is kept no longer, or say what that is."""
    given = options.older_than
    older_than = None if given is None else durations.parse(given, "--older-than", retention.LEAST)
    settings = Settings.of_user(os.environ)
    try:
        freed = anyio.run(_collected, settings, older_than, options.dry_run)
    except RPCError as error:
        raise Failure(f"the Temporal server does not say what is open, so nothing more is removed: {error}") from error
    except OSError as error:
        raise Failure(f"the home {settings.home.root!r} cannot be cleared: {error.strerror or error}") from error
    if options.as_json:
        return cli_output.print_json({"dry_run": options.dry_run, **freed._asdict()})
    cli_output.screen().show(sentence(freed, dry_run=options.dry_run))
    return 0


def sentence(freed: Freed, *, dry_run: bool) -> str:
    """What was freed, for people."""
    counts = {
        "run": len(freed.runs),
        "inbox entr": freed.entries,
        "skill version": freed.versions,
        "payload": freed.blobs,
        "session": freed.sessions,
        "log": freed.logs,
    }
    told = [f"{count} {_plural(noun, count)}" for noun, count in counts.items() if count]
    if not told and not freed.left:
        return "nothing is old enough to be removed"
    done = "would be removed" if dry_run else "removed"
    left = f"; {freed.left:,} more {_plural('run', freed.left)} to go another time" if freed.left else ""
    return f"{done}: {', '.join(told) or 'nothing'} ({wording.size(freed.bytes)}){left}"


def _plural(noun: str, count: int) -> str:
    if noun.endswith("entr"):
        return f"{noun}{'y' if count == 1 else 'ies'}"
    return noun if count == 1 else f"{noun}s"


async def _collected(settings: Settings, older_than: timedelta | None, dry_run: bool) -> Freed:
    # Only the server knows which children of ended runs still work.
    client = await run_updates.connected(settings)
    home_id = keys.KeyRing.of(settings.home).home_id
    now = datetime.now(UTC)
    return await housekeeping.collect(client, settings, home_id, now, older_than=older_than, dry_run=dry_run)
