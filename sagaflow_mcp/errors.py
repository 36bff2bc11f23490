"""The errors that a user may see, each a sentence that names the thing given, what was wanted and the way out.

* SagaflowError
    * Refusal: the user can put it right (exit 1).
        * UsageRefusal: the command line itself is wrong (exit 2).
        * BrokenSkill: a skill cannot be run as it is written.
    * Failure: the world did not cooperate (exit 1).

Whatever else is raised is a bug: it is logged with its trace and reported with exit 3.
"""

from __future__ import annotations


class SagaflowError(Exception):
    """Sagaflow could not do what was asked."""

    exit_code = 1


class Refusal(SagaflowError):  # noqa: N818 - a refusal is no error of the program
    """What was asked cannot be done as it was given."""


class UsageRefusal(Refusal):
    """The command line could not be understood."""

    exit_code = 2


class BrokenSkill(Refusal):
    """A skill cannot be run as it is written.

    Args:
        sentence: what is wrong; it names the place as well.
        file: the author's file that is to blame; empty when that is not known.
        line: the line in it, from 1; None where the whole file is meant.
    """

    def __init__(self, sentence: str, file: str = "", line: int | None = None) -> None:
        super().__init__(sentence)
        self.file = file
        self.line = line


class Failure(SagaflowError):  # noqa: N818 - a noun, like its sibling
    """Something that Sagaflow depends on did not work."""
