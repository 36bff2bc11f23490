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


def test_a_skill_edited_while_it_is_copied_is_pinned_whole(author: Author) -> None:
    """What is pinned is one state of the skill, never a mixture."""
    code = (
        "import sys\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\nprint('editing', flush=True)\n"
        "for number in range(10**9):\n"
        "    for name in ('a.py', 'b.py'):\n"
        "        (folder / 'new').write_text(f'x = {number // 40}'); (folder / 'new').replace(folder / name)\n"
    )
    author.edit(**{"a.py": "x = 0", "b.py": "x = 0"})
    editor = subprocess.Popen([sys.executable, "-c", code, str(author.folder)], stdout=subprocess.PIPE)
    try:
        assert editor.stdout is not None
        editor.stdout.readline()
        for _ in range(30):
            try:
                pinned = author.pin()
            except (Failure, Refusal) as error:
                assert "two-words" in str(error)  # noqa: PT017 - giving up in a sentence is right as well
            else:
                pinning.verify(pinned)
    finally:
        editor.kill()
        editor.communicate(timeout=10)
    assert not [path.name for path in Path(author.home.skills, "two-words").glob(".*")]
