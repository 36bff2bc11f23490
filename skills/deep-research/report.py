"""The report of a research, and the line that the inbox shows of it."""

from dataclasses import dataclass

from .claims import Answer, Findings, Part, Reading, Stated


@dataclass(frozen=True)
class Research:
    """What came of a research."""

    question: str
    day: str
    parts: list[Part]
    readings: dict[int, Reading]
    """By the part, from 0."""
    failed: dict[int, str]
    """Why, of each part whose reader has failed."""
    findings: Findings
    unchecked: dict[str, str]
    """Why, of each source whose check has failed."""


def result(research: Research, headline: str) -> str:
    """The gist, and how far it can be relied on, in one line."""
    stated = research.findings.stated
    sourced = [each for each in stated if each.source]
    supported = sum(each.verdict == "supported" for each in sourced)
    told = [f"{supported} of {len(sourced)} sourced claims confirmed in their source"]
    told += [f"{len(stated) - len(sourced)} unsourced"] if len(stated) > len(sourced) else []
    told += [f"{len(research.failed)} of {len(research.parts)} readers failed"] if research.failed else []
    told += (
        [f"{len(research.unchecked)} of {len(research.findings.sources)} checks failed"] if research.unchecked else []
    )
    return f"{headline} ({', '.join(told)})"


def markdown(research: Research, answer: Answer) -> str:
    """The whole report."""
    parts = [
        f"# {_line(research.question)}",
        f"**{_line(answer.headline)}**",
        answer.text.strip(),
        *_section("Contested", [*answer.contested, *_not_borne_out(research.findings)]),
        *_section("What could not be found or done", [*_not_found(research), *_doubts(research, answer)]),
        *_claims(research),
        *_sources(research),
    ]
    return "\n\n".join(parts) + "\n"


def found(research: Research) -> str:
    """What the readers have found and what came of the checks, as the writer is told of it."""
    told = []
    for index, part in enumerate(research.parts):
        lines = [f"## {part.question}"]
        if reading := research.readings.get(index):
            lines += [f"The reader: {reading.answer}"]
            lines += [
                f"Claim: {_told(research.findings, each)}" for each in research.findings.stated if each.part == index
            ]
            lines += [f"Not found: {each}" for each in reading.not_found]
        else:
            lines.append("Nothing was read: the reader has failed.")
        told.append("\n\n".join(lines))
    return "\n\n".join(told)


def _told(findings: Findings, each: Stated) -> str:
    """A claim with its source and what came of its check."""
    why = f": {_line(each.evidence)}" if each.evidence and each.verdict != "supported" else ""
    if not each.source:
        return f"{each.claim.text} (unsourced{why})"
    word = "confirmed in its source" if each.verdict == "supported" else each.verdict
    return f"{each.claim.text} {findings.mark(each)} ({word}{why})"


def _not_borne_out(findings: Findings) -> list[str]:
    """The claims that were not found in the source that they name, or are contradicted there."""
    return [_told(findings, each) for each in findings.stated if each.verdict in {"contradicted", "not in the source"}]


def _not_found(research: Research) -> list[str]:
    """What readers did not find, and which of them have failed."""
    told = [f"{part.question}: the reader has failed: {research.failed[index]}"
            for index, part in enumerate(research.parts) if index in research.failed]  # fmt: skip
    for reading in research.readings.values():
        told += reading.not_found
    return told + [f"The check of {source} has failed: {why}" for source, why in research.unchecked.items()]


def _doubts(research: Research, answer: Answer) -> list[str]:
    """What is wrong with the answer's citations."""
    unknown = research.findings.unknown(f"{answer.headline} {answer.text} {' '.join(answer.contested)}")
    return [f"The answer cites [{number}], which is none of the sources." for number in unknown]


def _claims(research: Research) -> list[str]:
    """All claims, by the question that they answer."""
    told = ["## Claims and their checks"] if research.findings.stated else []
    for index, part in enumerate(research.parts):
        lines = [_item(_told(research.findings, each)) for each in research.findings.stated if each.part == index]
        told += [f"### {_line(part.question)}", "\n".join(lines)] if lines else []
    return told


def _sources(research: Research) -> list[str]:
    """Each source under its number, with how many of its claims it bears out."""
    lines = []
    for number, source in enumerate(research.findings.sources, 1):
        claims = research.findings.of(source)
        supported = sum(each.verdict == "supported" for each in claims)
        lines.append(f"{number}. {source}: {supported} of {len(claims)} claims confirmed")
    read = f"Read and read again on {research.day}."
    return ["## Sources", "\n".join(lines), read] if lines else ["## Sources", "None: nothing here rests on a source."]


def _section(title: str, items: list[str]) -> list[str]:
    """A list under its title; nothing where there are no items."""
    return [f"## {title}", "\n".join(map(_item, items))] if items else []


def _item(text: str) -> str:
    """A list item, all of whose lines belong to it."""
    return "- " + text.strip().replace("\n", "\n  ")


def _line(text: str) -> str:
    return " ".join(text.split())
