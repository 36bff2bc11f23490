"""A program that makes a readable text of the HTML page on its standard input, whose URL it is given."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

CPU_SECONDS = 10
"""How long it computes at most, also when whoever started it is gone."""

MEMORY_BYTES = 1024 * 1024 * 1024
"""How much memory it takes at most, where the system can hold it to that."""

LONGEST_TEXT = 1_000_000
"""After how many characters it stops."""

LONGEST_LINK = 1000
"""The longest link that is told, in characters."""

UNSHOWN = {"script", "style", "template"}
"""Elements whose content nobody sees."""

HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
"""What stands before a heading."""

BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "form", "header", "hr", "legend", "li", "main", "nav", "ol", "option"),
    *("p", "pre", "section", "select", "table", "title", "tr", "ul", *HEADINGS),
}
"""Elements that begin a line."""


class EnoughError(Exception):
    """There is so much text that no more is wanted."""


class Readable(HTMLParser):
    """The page's text, in which headings, lists and links are told as in Markdown.

    Args:
        url: where the page is.
    """

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self._url = url
        self._pieces = list[str]()
        self._length = 0
        self._unshown = ""
        self._preformatted = 0
        self._link: str | None = None

    def text(self) -> str:
        """What has been read, without lines of blanks beside each other."""
        lines = (line.rstrip() for line in "".join(self._pieces).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        given = {name: value or "" for name, value in attrs}
        if self._unshown:
            return
        if tag in UNSHOWN:
            self._unshown = tag
        elif tag in BLOCKS:
            self._new_line(2 if tag in HEADINGS or tag in {"p", "pre", "table"} else 1)
            self._say(f"{HEADINGS[tag]} " if tag in HEADINGS else "- " if tag == "li" else "")
            self._preformatted += tag == "pre"
        elif tag in {"td", "th"}:
            self._say("" if self._ends_line() else " | ")
        elif tag == "a":
            self._end_link()
            self._begin_link(given.get("href", ""))
        elif tag == "img" and given.get("alt", "").strip():
            self._say(f"[image: {' '.join(given['alt'].split())}]")
        elif tag == "base":
            self._url = self._joined(given.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        """End one."""
        if self._unshown:
            self._unshown = "" if tag == self._unshown else self._unshown
        elif tag == "a":
            self._end_link()
        elif tag in BLOCKS:
            self._new_line(2 if tag in HEADINGS or tag in {"p", "pre", "table"} else 1)
            self._preformatted = max(0, self._preformatted - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        """Tell a text, in which blanks and line ends are the same unless it stands as it is."""
        if self._unshown:
            return
        if self._preformatted:
            self._say(data.replace("\r\n", "\n"))
            return
        shown = re.sub(r"\s+", " ", data)
        self._say(shown.lstrip() if self._ends_line() or self._pieces[-1].endswith(" ") else shown)

    def _begin_link(self, given: str) -> None:
        target = self._joined(given.strip())
        if given.strip() and not given.startswith("#") and target.startswith(("http:", "https:", "mailto:")):
            self._link = target
            self._say("[")

    def _end_link(self) -> None:
        if self._link is not None:
            self._say(f"]({self._link})")
            self._link = None

    def _joined(self, given: str) -> str:
        """The link from the page on; empty when it is too long, or none."""
        with contextlib.suppress(ValueError):
            if len(given) <= LONGEST_LINK:
                return urljoin(self._url, given)
        return ""

    def _new_line(self, count: int) -> None:
        """End the line, with a blank one after it for a `count` of 2."""
        if self._pieces:
            self._say("\n" * count)

    def _ends_line(self) -> bool:
        return not self._pieces or self._pieces[-1].endswith("\n")

    def _say(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._length += len(text)
        if self._length > LONGEST_TEXT:
            raise EnoughError


def readable(html: str, url: str) -> str:
    """The text of the page `html`, which is at `url`."""
    found = Readable(url)
    with contextlib.suppress(EnoughError):
        found.feed(html)
        found.close()
    return found.text()


def main() -> None:
    """Read, and print."""
    for what, most in {resource.RLIMIT_CPU: CPU_SECONDS, resource.RLIMIT_AS: MEMORY_BYTES}.items():
        with contextlib.suppress(ValueError, OSError):  # macOS takes none for memory, and there may be a lower one.
            resource.setrlimit(what, (most, most))
    html = sys.stdin.buffer.read().decode()
    sys.stdout.buffer.write(readable(html, sys.argv[1]).encode())


if __name__ == "__main__":
    main()
