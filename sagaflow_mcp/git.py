"""Git that runs nothing which the repository names, for steps of skills; bounded, and nothing of it is left.

from sagaflow_mcp.git import DIFF, Git

git = await Git.of(folder)
diff = await git.said(*DIFF, "HEAD", "--", ".")
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from sagaflow_mcp import commands
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

SECONDS = 60.0
"""How long git may take for one answer, unless its caller says otherwise."""

MOST_BYTES = 400_000
"""How much git may say at once, unless its caller says otherwise."""

ERROR_BYTES = 2_000
"""How much is read of what git says of its failure."""

KEPT = ("HOME", "PATH", "TMPDIR", "XDG_CONFIG_HOME", "LD_LIBRARY_PATH")
"""What git gets of the environment: no variable of its own, such as one that names a program for diffs."""

NO_NETWORK = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
"""A clone that lacks objects would fetch them, with programs that its configuration names."""

SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.quotePath=false")
"""Stand over those of the repository, which may name programs."""

DIFF = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--relative"),
    *("--ignore-submodules=dirty", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/"),
)
"""Plain text of the folder alone. Whether a submodule is dirty would be asked with the submodule's own settings."""


class TooMuch(Refusal):
    """Git took too long, or had too much to say; a smaller question may be answered."""


class Git:
    """The git of one folder, which runs no program that the repository's configuration names, and changes nothing.

    The arguments are the caller's own: a subcommand that reads, and options that start no program. `DIFF` has them for
    a diff. What a user has given must not begin with a dash.
    """

    def __init__(self, folder: str, settings: Sequence[str], seconds: float) -> None:
        self._folder = folder
        self._settings = settings
        self._seconds = seconds

    @classmethod
    async def of(cls, folder: str, seconds: float = SECONDS) -> Git:
        """The git of `folder`, which may take `seconds` for each answer, whether or not there is a repository.

        Raises:
            Refusal: git cannot be run there, or has a setting that cannot be turned off.
        """
        git = cls(folder, SETTINGS, seconds)
        # Git cleans a file with such a filter before it compares it, and an attribute in the repository chooses it.
        found = await git.names("config", "--null", "--name-only", "--get-regexp", r"^filter\.", fine=(0, 1))
        return cls(folder, [*SETTINGS, *map(_off, found)], seconds)

    async def said(self, *arguments: str, fine: Sequence[int] = (0,), most_bytes: int = MOST_BYTES) -> str:
        """What git says, as text.

        Raises:
            TooMuch: it is longer than `most_bytes`, or git took too long.
            Refusal: git's exit status is not one of `fine`.
        """
        return (await self._whole(arguments, fine, most_bytes)).decode(errors="replace")

    async def names(self, *arguments: str, fine: Sequence[int] = (0,), most_bytes: int = MOST_BYTES) -> list[str]:
        """The names that git lists with a NUL after each, as names of files are given to other programs.

        Raises:
            TooMuch: they are longer than `most_bytes`, or git took too long.
            Refusal: git's exit status is not one of `fine`.
        """
        found = await self._whole(arguments, fine, most_bytes)
        return [os.fsdecode(name) for name in found.split(b"\0") if name]

    async def tell(
        self, output: commands.Output, *arguments: str, fine: Sequence[int] = (0,), most_bytes: int | None = None
    ) -> None:
        """Let git say it to `output`, which keeps a part of what is long.

        Raises:
            TooMuch: it is longer than `most_bytes`, where that is given, or git took too long.
            Refusal: git's exit status is not one of `fine`.
        """
        with tempfile.TemporaryFile() as errors:
            try:
                status = await self._status(output, arguments, errors, most_bytes)
            except TimeoutError:
                raise TooMuch(f"git {arguments[0]} took longer than {self._seconds:g} s in {self._folder!r}") from None
            except (OSError, ValueError) as error:
                raise Refusal(f"git cannot be run in {self._folder!r}: {error}") from None
            errors.seek(0)
            why = " ".join(errors.read(ERROR_BYTES).decode(errors="replace").split())[:300]
        if most_bytes is not None and output.size > most_bytes:
            raise TooMuch(f"what git {arguments[0]} says in {self._folder!r} is over {most_bytes:,} bytes long")
        if status not in fine:
            raise Refusal(f"git {arguments[0]} failed in {self._folder!r}: {why}")

    async def _whole(self, arguments: Sequence[str], fine: Sequence[int], most_bytes: int) -> bytes:
        output = commands.Output(most_bytes, 0)
        await self.tell(output, *arguments, fine=fine, most_bytes=most_bytes)
        return output.kept

    async def _status(
        self, output: commands.Output, arguments: Sequence[str], errors: IO[bytes], most_bytes: int | None
    ) -> int:
        """Git's exit status; that of something killed where it says more than `most_bytes`."""
        environ = {**{name: os.environ[name] for name in KEPT if name in os.environ}, **NO_NETWORK}
        words = self._words(arguments)
        async with (
            asyncio.timeout(self._seconds),
            commands.leashed(words, self._folder, environ, errors.fileno()) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            while piece := await process.stdout.read(commands.PIECE_BYTES):
                output.add(piece)
                if most_bytes is not None and output.size > most_bytes:
                    process.stdin.close()  # That ends it; what it has said meanwhile is read, lest its pipe stays full.
            return await process.wait()

    def _words(self, arguments: Sequence[str]) -> list[str]:
        program = shutil.which("git")
        if program is None:
            raise FileNotFoundError("there is none on the PATH; install it")
        settings = [word for each in self._settings for word in ("-c", each)]
        return [program, "--no-pager", "--no-optional-locks", *settings, *arguments]


def _off(name: str) -> str:
    """The setting that turns the filter's setting `name` off."""
    if "=" in name:
        raise Refusal(f"git's setting {name!r} cannot be turned off, since its name holds a '='; rename it")
    return f"{name}=false" if name.endswith(".required") else f"{name}="
