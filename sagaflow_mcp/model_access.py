"""What leads to a model where nobody may be there to bring it: a key of the environment, of a helper, or a login."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from sagaflow_mcp import credentials, records
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from sagaflow_mcp.settings import Settings

HELPER_SECONDS = 30.0
"""How long `models.api_key_helper` may take."""


def found(settings: Settings) -> dict[str, str]:
    """The way to a model, by name: a key in the environment, else what the helper says, else a login; empty for none.

    Raises:
        Refusal: `SAGAFLOW_TRANSPORT` is not in order.
        Failure: the helper was needed, and did not give a key.
    """
    given = settings.credentials()
    needs_helper = settings.transport != "claude" and not credentials.keys_in(settings.environ)
    return helped(settings) or given if needs_helper else given


def at_hand(settings: Settings) -> dict[str, str]:
    """As `found`, but where the helper gives no key, what there is without it: who waits for a run need not have one.

    Raises:
        Refusal: `SAGAFLOW_TRANSPORT` is not in order.
    """
    try:
        return found(settings)
    except Failure:
        return settings.credentials()


def helped(settings: Settings) -> dict[str, str]:
    """The key that `models.api_key_helper` prints, by name; empty without a helper. Failure if it gives none."""
    command = settings.api_key_helper
    if not command or settings.transport == "claude":
        return {}
    base = settings.environ.get("ANTHROPIC_BASE_URL")
    return {"ANTHROPIC_API_KEY": _printed(command, settings), **({"ANTHROPIC_BASE_URL": base} if base else {})}


def needs_nobody(settings: Settings) -> bool:
    """Whether a run finds a model although nobody is there: by the helper, or by a login."""
    return bool(settings.api_key_helper) or credentials.CLAUDE in settings.credentials()


def _printed(command: str, settings: Settings) -> str:
    """What a shell says to `command`. Its standard output is never repeated: there may be a key in it."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=dict(settings.environ),
            timeout=HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"it took over {HELPER_SECONDS:g} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise Failure(f"models.api_key_helper in {settings.home.config!r} gave no key: {reason}") from None
    key = done.stdout.strip()
    if done.returncode != 0:
        said = records.one_line(done.stderr, 200)
        ended = f"it ended with exit status {done.returncode}{': ' + said if said else ''}"
        raise Failure(f"models.api_key_helper in {settings.home.config!r} gave no key: {ended}")
    if not key or not key.isascii() or len(key.split()) != 1:
        raise Failure(
            f"models.api_key_helper in {settings.home.config!r} must print a key and nothing else on standard output"
        )
    return key
