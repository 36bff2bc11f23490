"""A skill's prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.prompts import load_prompt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def module(tmp_path: Path) -> str:
    """The `__file__` of a skill with two prompts."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "plain.md").write_text("Costs $5 and $name.\n\n", encoding="utf-8")
    (tmp_path / "prompts" / "greeter.user.md").write_text("$name, ${name}s, $5, $$x, $ and ü\n", encoding="utf-8")
    (tmp_path / "secret.md").write_text("secret", encoding="utf-8")
    return str(tmp_path / "__init__.py")


def test_a_prompt_is_the_text_of_its_file_without_the_last_newline(module: str) -> None:
    """Without substitutions nothing in it is touched."""
    assert load_prompt(module, "plain") == "Costs $5 and $name.\n"


def test_variables_are_replaced_and_other_dollar_signs_stay(module: str) -> None:
    """Prompts are full of prices and shell snippets."""
    assert load_prompt(module, "greeter.user", substitutions={"name": "bo"}) == "bo, bos, $5, $x, $ and ü"


def test_a_value_is_not_looked_into(module: str) -> None:
    """What a user types cannot pull in other variables."""
    assert load_prompt(module, "greeter.user", {"name": "$name"}).startswith("$name, $names")


def test_a_variable_without_a_value_is_refused_by_name(module: str) -> None:
    """The sentence names the file as well."""
    with pytest.raises(Refusal, match=r"plain\.md' has \$name, for which no value was given"):
        load_prompt(module, "plain", substitutions={"nmae": "bo"})


def test_a_missing_prompt_is_refused_with_those_there_are(module: str) -> None:
    """A typo is put right at a glance."""
    with pytest.raises(Refusal, match=r"no prompt 'planin'.*'greeter.user', 'plain'"):
        load_prompt(module, "planin")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "x/../../secret", "\0"])
def test_a_name_cannot_leave_the_folder(module: str, name: str) -> None:
    """Also when it comes from an argument."""
    with pytest.raises(Refusal, match="lies outside of"):
        load_prompt(module, name)


def test_a_link_cannot_leave_the_folder(module: str, tmp_path: Path) -> None:
    """A link is judged by where it leads."""
    (tmp_path / "prompts" / "link.md").symlink_to("../secret.md")
    with pytest.raises(Refusal, match="lies outside of"):
        load_prompt(module, "link")


def test_a_prompt_that_is_not_utf8_is_refused_by_name(module: str, tmp_path: Path) -> None:
    """The sentence names the file."""
    (tmp_path / "prompts" / "bad.md").write_bytes(b"\xff\xfe")
    with pytest.raises(Refusal, match=r"bad\.md' cannot be read"):
        load_prompt(module, "bad")
