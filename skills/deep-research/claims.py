"""What is planned, read and checked: parts of a question, claims, and the sources that they rest on."""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urldefrag

from pydantic import BaseModel, Field

Where = Literal["web", "files"]

_LINES = re.compile(r":\d+([-\u2013]\d+)?$")
"""The lines that stand behind a file's name."""

_CITED = re.compile(r"\[(\d+)\]")


class Part(BaseModel):
    """A question that one reader can answer."""

    question: str = Field(min_length=1, description="Understood by somebody who knows nothing but this text.")
    where: Where = Field(description="web: public pages; files: files of the user's project.")
    start: str = Field(description="Where to begin: URLs, files, names to look for; empty where nothing is known.")


class Plan(BaseModel):
    """The parts of a question."""

    parts: list[Part] = Field(min_length=1, description="The one that the answer depends on most first.")


class Claim(BaseModel):
    """One statement that can be checked on its own."""

    text: str = Field(min_length=1, description="One sentence, understood without the others.")
    source: str = Field(
        description="The URL of the page, or the path of the file with its lines (a.py:3-9), in which you have read it "
        "yourself; empty for what you know and have read nowhere."
    )
    quote: str = Field(description="The words there that say so, exactly as they stand, 300 characters at most.")


class Reading(BaseModel):
    """What one reader has found."""

    answer: str = Field(min_length=1, description="What there is to say, in a few sentences.")
    claims: list[Claim] = Field(max_length=12, description="What the answer hangs on.")
    not_found: list[str] = Field(
        max_length=12, description="What was looked for and not found, and what could not be read and why."
    )


class Judgement(BaseModel):
    """What came of the check of one claim."""

    number: int = Field(description="The claim's.")
    verdict: Literal["supported", "contradicted", "not in the source", "unreadable"]
    evidence: str = Field(min_length=1, description="What the source says, in its own words; why it cannot be read.")


class Judgements(BaseModel):
    """What came of the check of the claims that rest on one source."""

    claims: list[Judgement]


class Answer(BaseModel):
    """The answer to the whole question."""

    headline: str = Field(min_length=1, description="The answer in one plain sentence, with how sure it is.")
    text: str = Field(min_length=1, description="Markdown without headings, with the numbers of sources: [2].")
    contested: list[str] = Field(description="Where sources say different things: what, and who says which.")


@dataclass
class Stated:
    """A claim, the part that it belongs to, and what came of its check."""

    claim: Claim
    part: int
    """From 0."""
    source: str
    """The page or the file that it rests on; empty where it has none."""
    verdict: str
    """That of a `Judgement`, `not checked` or `unsourced`."""
    evidence: str = ""


@dataclass
class Findings:
    """All claims, in the order of the parts, and what they rest on."""

    stated: list[Stated] = field(default_factory=list)

    @property
    def sources(self) -> list[str]:
        """Each source once; its place, from 1, is its number."""
        return list(dict.fromkeys(each.source for each in self.stated if each.source))

    def of(self, source: str) -> list[Stated]:
        """The claims that rest on that source."""
        return [each for each in self.stated if each.source == source]

    def mark(self, each: Stated) -> str:
        """How the source of a claim that has one is cited."""
        return f"[{self.sources.index(each.source) + 1}]"

    def unknown(self, text: str) -> list[str]:
        """The numbers that a text cites and that no source has."""
        known = range(1, len(self.sources) + 1)
        return list(dict.fromkeys(each for each in _CITED.findall(text) if int(each) not in known))


def is_page(source: str) -> bool:
    """Whether a source is one of the web, and not a file."""
    return source.lower().startswith(("http://", "https://"))


def stated(part: int, where: Where, claim: Claim) -> Stated:
    """A claim with its source, if its reader can have read that.

    A reader of files has read no page. If it names one it may have been talked into that by a file, and to fetch the
    address could carry away what stands in another.
    """
    named = claim.source.strip()
    if not named:
        return Stated(claim, part, "", "unsourced")
    if is_page(named) != (where == "web"):
        return Stated(claim, part, "", "unsourced", f"a reader of {where} cannot have read {named}")
    return Stated(claim, part, urldefrag(named).url if is_page(named) else _LINES.sub("", named), "not checked")
