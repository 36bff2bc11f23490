"""What a skill declares about itself."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.registry import SkillRegistry, SkillSpec


def spec(**changed: Any) -> SkillSpec:
    """A skill in order, but for `changed`."""
    fields: dict[str, Any] = {"name": "x", "workflow_cls": object, "activities": [print], "build_input": print}
    return SkillSpec(**{**fields, **changed})


def test_a_skill_in_order_is_registered() -> None:
    """The registry keeps it as it was given."""
    registry, given = SkillRegistry(), spec(execution_timeout=timedelta(hours=1), arguments=dict)
    registry.register(given)
    assert registry.specs == (given,)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("name", "Hello World", "1 to 64 of a-z"),
        ("name", None, "1 to 64 of a-z"),
        ("workflow_cls", print, "a class with @workflow.defn"),
        ("activities", None, "a list of functions"),
        ("activities", ["write_artifact"], "a list of functions"),
        ("build_input", None, "a function"),
        ("arguments", {"name": "str"}, "a Pydantic model or a dataclass"),
        ("execution_timeout", 60, "a timedelta longer than zero"),
        ("execution_timeout", timedelta(0), "a timedelta longer than zero"),
    ],
)
def test_a_wrong_field_is_refused_by_name(field: str, value: object, wanted: str) -> None:
    """The sentence says what the field must be."""
    with pytest.raises(Refusal, match=f"SkillSpec {field} is .*; it must be {wanted}"):
        SkillRegistry().register(spec(**{field: value}))


def test_anything_but_a_spec_is_refused() -> None:
    """A common slip is to register the workflow class itself."""
    given: Any = object
    with pytest.raises(Refusal, match="given the class object; it takes a SkillSpec"):
        SkillRegistry().register(given)


def test_declaring_a_skill_needs_neither_temporal_nor_pydantic() -> None:
    """So that the module costs nothing where it is only named."""
    code = "import sys, sagaflow_mcp.registry; print({'temporalio', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8", timeout=60)
    assert done.stdout.strip() == "set()"
