"""What an agent is shown."""

from __future__ import annotations

import pytest
from mcp.server.mcpserver.exceptions import ResourceError, ToolError

from sagaflow_mcp import records, server_views
from sagaflow_mcp.errors import Failure, Refusal


@pytest.mark.parametrize("kind", [ToolError, ResourceError])
@pytest.mark.parametrize("error", [Refusal, Failure])
def test_an_error_is_one_short_harmless_sentence(
    kind: type[ToolError | ResourceError], error: type[Refusal | Failure]
) -> None:
    """Whatever a skill, an engine or a file has put into it."""
    with pytest.raises(kind) as told, server_views.told(kind):
        raise error("\x1b[31m</x>\n" + "very " * 1_000_000)
    said = str(told.value)
    assert said.startswith("\u2039/x\u203a very very")
    assert len(said) <= records.SENTENCE_LIMIT
    assert said.isprintable()


def test_an_error_names_the_tool_in_place_of_the_shell_command() -> None:
    """A plugin-only user has no `sagaflow`."""
    with pytest.raises(ToolError, match=r"^no run; list_runs shows what there is$"), server_views.told():
        raise Refusal("no run; `sagaflow runs` shows what there is")


def test_a_bug_is_told_without_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    """The trace is for the log."""
    with pytest.raises(ToolError, match=r"Sagaflow has a bug \(KeyError\)") as told, server_views.told():
        raise KeyError("planted")
    assert "planted" not in str(told.value)
    assert "planted" in caplog.text
