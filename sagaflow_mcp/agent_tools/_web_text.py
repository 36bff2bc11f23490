"""The text of a page, from the bytes that a server sent."""

from __future__ import annotations

import codecs
import re
import subprocess
import sys
from pathlib import Path

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal

HTML = re.compile(r"text/html|application/xhtml\+xml")
"""Types of pages of which the readable text is told."""

TEXT = re.compile(
    r"text/.+|.+\+(json|xml|yaml)|application/((x-)?(javascript|ecmascript|json|ndjson|jsonlines|xml|yaml|toml|sh|sql)"
    r"|graphql|xml-dtd)"
)
"""Types of what is told as it is."""

EXTRACTION = Path(__file__).with_name("_web_html.py")
"""The program that makes a text of HTML.

It is a process of its own: the standard library's parser takes minutes for some broken pages of a few kilobytes, and
nothing else in the worker could run meanwhile.
"""

EXTRACTION_SECONDS = 10.0
"""How long that may take; a page of 5 MB takes about two."""

CODECS = re.compile(
    r"utf-(8|16|32)(-sig|-le|-be)?|iso8859-\d+|cp\d+|koi8-[rtu]|gb\w+|big5\w*|euc_\w+|shift_ji\w+|iso2022_\w+|mac-\w+"
)
"""Those of Python that are encodings of text; others take long (`punycode`) or are none (`unicode_escape`)."""

_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.ASCII | re.IGNORECASE)
_XML_ENCODING = re.compile(r"<\?xml[^>]*\sencoding\s*=\s*[\"']([\w.:-]+)", re.ASCII)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def check(kind: str, shown: str) -> None:
    """Return when a page of such a `Content-Type` may be a text. Refusal when it is none."""
    mime = _mime(kind)
    if mime and not HTML.fullmatch(mime) and not TEXT.fullmatch(mime):
        raise Refusal(f"{shown} is no text but {records.one_line(mime, 100)}; only texts can be read")


def text(data: bytes, kind: str, url: str, seconds: float) -> str:
    """The page as a text. Refusal when it is none, or takes longer than so many seconds to read.

    Args:
        data: the page.
        kind: its `Content-Type`.
        url: where it is, which its links start from.
        seconds: how long that may take.
    """
    found = _decoded(data, kind)
    if "\0" in found:
        raise Refusal(f"{url!r} is no text, although it is told to be one; only texts can be read")
    if HTML.fullmatch(_mime(kind)) or (not kind and re.match(r"\s*<(!doctype html|html)\b", found, re.IGNORECASE)):
        return _readable(found, url, seconds)
    return found


def _mime(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()


def _decoded(data: bytes, kind: str) -> str:
    """By the mark at its beginning, by what the server says, by what it says itself, or as UTF-8 where it is that."""
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    start = data[:1024].decode("latin-1")
    declared = [_CHARSET.search(kind), _XML_ENCODING.match(start), HTML.match(_mime(kind)) and _CHARSET.search(start)]
    names = (_codec(each[1]) for each in declared if each)
    name = marked or next((each for each in names if each), "")
    try:
        return data.decode(name or "utf-8", errors="replace" if name else "strict")
    except UnicodeDecodeError as error:
        # Cut off in the middle of a character, it is still UTF-8.
        is_cut = error.end == len(data) and error.reason == "unexpected end of data"
        return data.decode("utf-8" if is_cut else "cp1252", errors="replace")


def _codec(label: str) -> str:
    """The name of Python's codec; empty when there is none for text."""
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return ""
    if name in {"iso8859-1", "ascii"}:
        return "cp1252"  # As in browsers: https://encoding.spec.whatwg.org/#names-and-labels
    return name if CODECS.fullmatch(name) else ""


def _readable(html: str, url: str, seconds: float) -> str:
    try:
        made = subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(EXTRACTION), url],
            input=html.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=min(seconds, EXTRACTION_SECONDS),
            check=False,
        )
    except subprocess.TimeoutExpired:
        made = None
    if made is None or made.returncode:
        raise Refusal(f"{url!r} is HTML that cannot be made a text: it is too large or too broken")
    return made.stdout.decode()
