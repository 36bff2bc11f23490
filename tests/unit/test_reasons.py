"""Why a run did not complete, as it is told."""

from __future__ import annotations

from itertools import pairwise

from temporalio.exceptions import ApplicationError

from sagaflow_mcp.durable import reasons


def caused(*errors: ApplicationError) -> ApplicationError:
    """The first of them, which came from the next, and so on."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_the_innermost_reason_is_told_but_for_what_a_refusal_came_from() -> None:
    """A refusal says what to do, and what it came from only what Python says."""
    raw = ApplicationError("invalid start byte", type="UnicodeDecodeError")
    refusal = ApplicationError("the prompt file 'x.md' cannot be read", type="Refusal")
    assert reasons.sentence(caused(ApplicationError("step failed"), raw)) == "UnicodeDecodeError: invalid start byte"
    assert reasons.sentence(caused(ApplicationError("step failed"), refusal, raw)) == refusal.message
