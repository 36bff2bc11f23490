"""A run's result as files and people can take it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from sagaflow_mcp import reports


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ({"a": [1, None, "é"]}, {"a": [1, None, "é"]}),
        (b"text\xff", "text\\xff"),
        ({"ratio": math.nan, "most": math.inf}, {"ratio": "NaN", "most": "Infinity"}),
        ("\udcff", "\udcff"),
        ({(1, 2): "dropped", "when": {3}}, {"when": "{3}"}),
    ],
)
def test_a_result_is_kept_as_json_can_hold_it(result: Any, kept: Any) -> None:
    """What is kept is valid JSON, which knows neither NaN nor bytes."""
    assert reports.plain(result) == kept
    json.dumps(reports.plain(result), allow_nan=False)
