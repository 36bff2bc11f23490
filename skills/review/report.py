"""The report of a review, and the line that the inbox shows of it."""

from collections import Counter
from dataclasses import dataclass

from .changes import Material
from .findings import SEVERITIES, Checked


@dataclass(frozen=True)
class Review:
    """What came of a review."""

    material: Material
    names: list[str]
    """Of all reviewers."""
    failed: dict[str, str]
    """Why, of each reviewer that has failed."""
    not_seen: dict[str, str]
    """What the others say that they have not seen."""
    findings: list[Checked]
    """In the order in which they are reported."""
    trouble: str
    """Why it is not known which findings are the same; empty where it is."""

    @property
    def standing(self) -> list[Checked]:
        """Those that were not refuted."""
        return [each for each in self.findings if each.verdict != "refuted"]


def headline(review: Review) -> str:
    """The gist, and whatever has failed, in one line."""
    counts = Counter(each.verdict for each in review.findings)
    confirmed = Counter(each.severity for each in review.findings if each.verdict == "confirmed")
    severities = ", ".join(f"{confirmed[each]} {each}" for each in SEVERITIES if confirmed[each])
    told = [_counted(counts["confirmed"], "finding") + " confirmed" + (f" ({severities})" if severities else "")]
    told += [f"{counts[each]} {each}" for each in ("unclear", "not checked", "refuted") if counts[each]]
    if review.failed:
        told.append(f"{_counted(len(review.failed), 'reviewer')} failed ({', '.join(review.failed)})")
    if review.not_seen:
        told.append(f"not all was seen ({', '.join(review.not_seen)})")
    first = f"; first: {review.standing[0].place} {review.standing[0].finding.title}" if review.standing else ""
    return ", ".join(told) + first


def markdown(review: Review) -> str:
    """The whole report."""
    worked = ", ".join(name for name in review.names if name not in review.failed)
    refuted = [
        f"`{each.place}` {each.finding.title} ({', '.join(each.by)})\n{each.evidence}"
        for each in review.findings
        if each.verdict == "refuted"
    ]
    parts = [
        f"# Review of {review.material.subject}",
        f"**{headline(review)}**",
        f"Reviewed for {worked}, by reading alone: nothing was run. No agent has checked a finding of its own.",
        "## Findings",
        *[_entry(number, each) for number, each in enumerate(review.standing, 1)],
        *([] if review.standing else ["None that stands."]),
        *_section("Refuted", refuted),
        *_section("What this review does not cover", _missing(review)),
    ]
    return "\n\n".join(parts) + "\n"


def _entry(number: int, each: Checked) -> str:
    """A finding that stands, as a section."""
    finding = each.finding
    told = {
        "Why": finding.why,
        "How to see it": finding.how_to_see,
        "What to do": finding.what_to_do,
        "Check": f"{each.verdict}; {each.evidence}",
        "Found by": ", ".join(each.by),
        "Also put as": "; ".join(each.also),
        "Severity for the reviewer": "" if each.severity == finding.severity else finding.severity,
    }
    lines = [_item(f"**{name}**: {text}") for name, text in told.items() if text.strip()]
    return "\n".join(
        [f"### {number}. {each.severity}, {each.verdict}: {finding.title}", "", f"`{each.place}`", "", *lines]
    )


def _missing(review: Review) -> list[str]:
    """What was not done, each in a sentence."""
    found = [f"The {name} reviewer has failed: {why}" for name, why in review.failed.items()]
    found += [f"Not seen by the {name} reviewer: {what}" for name, what in review.not_seen.items()]
    unchecked = [each for each in review.findings if each.verdict == "not checked"]
    found += [f"Not checked: `{each.place}` {each.finding.title}: {each.evidence}" for each in unchecked]
    if review.trouble:
        found.append(f"A problem may be there twice, since findings could not be compared: {review.trouble}")
    if review.material.left_out:
        found.append(f"Out of reach of agents: {', '.join(f'`{each}`' for each in review.material.left_out)}")
    return found


def _section(title: str, items: list[str]) -> list[str]:
    """A list under its title; nothing where there are no items."""
    return [f"## {title}", "\n".join(map(_item, items))] if items else []


def _item(text: str) -> str:
    """A list item, all of whose lines belong to it."""
    return "- " + text.strip().replace("\n", "\n  ")


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
