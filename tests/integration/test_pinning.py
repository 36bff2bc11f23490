"""The pinned copy of a skill."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import pinning
from sagaflow_mcp.errors import Failure, Refusal
from tests.integration.author import SKILL, Author

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.pinning import Pinned


@pytest.fixture
def author(tmp_path: Path, home: Home) -> Author:
    """The author, the skill written."""
    return Author(tmp_path, home)


def test_pinning_again_gives_the_same_copy_and_an_edit_gives_another(author: Author) -> None:
    """The first copy stays what it was."""
    first = author.pin()
    assert author.pin() == first
    author.edit(**{"facts.py": "VERSION = 'two'\n"})
    second = author.pin()
    assert first.digest != second.digest
    assert (first.code / "facts.py").read_text(encoding="utf-8") == SKILL["facts.py"]
    assert (first.code / "facts.py").stat().st_mode & 0o777 == 0o400


def test_a_copy_that_was_changed_or_removed_is_refused(author: Author) -> None:
    """A run never continues with other code than it began with."""
    pinned = author.pin()
    path = pinned.code / "facts.py"
    path.unlink()
    path.write_text("VERSION = 'other'\n", encoding="utf-8")
    with pytest.raises(Refusal, match="was changed after it was made"):
        pinning.verify(pinned)
    shutil.rmtree(pinned.folder)
    with pytest.raises(Refusal, match="is gone"):
        pinning.verify(pinned)


def test_twenty_processes_pinning_at_once_make_one_copy(author: Author) -> None:
    """And leave no half-made one."""
    code = (
        "import sys; from pathlib import Path; from sagaflow_mcp import pinning; from sagaflow_mcp.paths import Home\n"
        "source = pinning.Source('two-words', Path(sys.argv[2]), 'path', 'workflow')\n"
        "print(pinning.pin(Home(sys.argv[1]), source).digest)"
    )
    command = [sys.executable, "-c", code, author.home.root, str(author.folder)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") for _ in range(20)]
    digests = {child.communicate(timeout=60)[0].strip() for child in children}
    assert digests == {author.pin().digest}
    assert [path.name for path in Path(author.home.skills, "two-words").iterdir()] == [author.pin().digest]


EDITOR = """
import sys
from pathlib import Path

folder, draft = Path(sys.argv[1]), Path(sys.argv[1], "draft~")
number = 0
for line in sys.stdin:
    for number in range(number + 1, number + 1 + int(line)):
        for name in ("first.py", "second.py"):
            draft.write_text(f"x = {number}", encoding="utf-8")
            draft.replace(folder / name)
    print("edited", flush=True)
"""
"""Writes as many of the next numbers as it is told into two files, each number into the first file first."""


def test_a_skill_edited_while_it_is_copied_is_pinned_whole(author: Author) -> None:
    """What is pinned is one state that the skill was in, never a mixture of two."""
    author.edit(**{"first.py": "x = 0", "second.py": "x = 0"})
    command = [sys.executable, "-c", EDITOR, str(author.folder)]
    pins: set[Pinned] = set()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as editor:
        assert editor.stdin is not None
        assert editor.stdout is not None
        for edits in range(1, 31):
            editor.stdin.write(f"{edits}\n")
            editor.stdin.flush()
            try:
                pins.add(author.pin())
            except (Failure, Refusal) as error:
                assert "two-words" in str(error)  # noqa: PT017 - giving up in a sentence is right as well
            assert editor.stdout.readline() == "edited\n"
        pins.add(author.pin())
        editor.stdin.close()
    assert len(pins) > 1
    for pinned in pins:
        first, second = (
            int((pinned.code / name).read_text(encoding="utf-8").removeprefix("x = "))
            for name in ("first.py", "second.py")
        )
        assert first - second in {0, 1}
    assert not [path.name for path in Path(author.home.skills, "two-words").glob(".*")]


def test_what_the_user_trusts_is_all_that_is_copied(author: Author) -> None:
    """It may be changed between the check and the copy."""
    trusted = author.source._replace(path=author.folder, trusted=author.pin().digest)
    assert pinning.pin(author.home, trusted) == author.pin()
    before = author.pin()
    author.edit(**{"facts.py": "VERSION = 'evil'\n"})
    with pytest.raises(Refusal, match="skill 'two-words' of this project was changed after you trusted it; look at"):
        pinning.pin(author.home, trusted)
    assert [path.name for path in Path(author.home.skills, "two-words").iterdir()] == [before.digest]
