"""A run as a page of HTML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import artifacts, markers, questions, records, run_details, run_page
from sagaflow_mcp.questions import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagaflow_mcp.paths import Home

HOSTILE = (
    "</pre></style></title><script>alert(1)</script><img src=x onerror='a()'>\"'><a href=\"http://x\">"
    "\x1b[31m\x00\u202e &amp; "
)
XHTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture
def add(home: Home) -> Callable[..., Path]:
    """Makes a run and returns its folder."""

    def made(*, ending: dict[str, Any] | None = None, **about: Any) -> Path:
        run_dir = Path(home.run("r-1"))
        run_dir.mkdir()
        started = {"skill": "x", "created_at": "2030-01-31T08:15:00Z", "project_dir": "/p", **about}
        artifacts.write_json(run_dir / "run.json", started)
        if ending is None:
            markers.claim(home, records.OpenRun("r-1", "x", "d", "", "2030-01-31T08:15:00Z", "h"))
        else:
            artifacts.write_json(run_dir / "ending.json", {"entry_id": "r-1~a", "status": "DONE", **ending})
        return run_dir

    return made


def shown(home: Home) -> tuple[str, ET.Element]:
    """The page, also as a tree: it must be well-formed."""
    text = run_page.page(run_details.get(home, "r-1"))
    return text, ET.fromstring(text)


def texts(tree: ET.Element, tag: str) -> list[str]:
    """What all elements of one kind say."""
    return ["".join(each.itertext()) for each in tree.iter(XHTML + tag)]


def bars(tree: ET.Element) -> list[str]:
    """The looks of the bars on the timeline."""
    return [name.removeprefix("bar ") for each in tree.iter() if (name := each.get("class", "")).startswith("bar ")]


def test_nothing_that_a_run_says_gets_out_of_its_place(home: Home, add: Callable[..., Path]) -> None:
    """Summary, skill, folder, arguments, steps, errors, questions, files, report and log."""
    run_dir = add(
        ending={"summary": HOSTILE, "closed_at": "2030-01-31T08:16:00Z"},
        skill=HOSTILE,
        project_dir=HOSTILE,
        arguments={HOSTILE: HOSTILE},
        version=HOSTILE,
    )
    for kind in ("started", "failed", "started", "warned", "finished"):
        artifacts.append_event(run_dir, f"step_{kind}", step="s", label=HOSTILE, error=HOSTILE, warning=HOSTILE)
    artifacts.append_event(run_dir, "phase_began", label=HOSTILE)
    artifacts.append_event(run_dir, "step_started", step="s2", label=HOSTILE)
    artifacts.append_event(run_dir, "worker_died", worker=HOSTILE)
    artifacts.append_event(run_dir, "question_asked", id=HOSTILE, label=HOSTILE)
    (run_dir / "report.md").write_text(HOSTILE * 100, encoding="utf-8")
    (run_dir / "log.txt").write_text(HOSTILE, encoding="utf-8")
    (run_dir / "<b>'\".txt").write_text("x", encoding="utf-8")
    text, tree = shown(home)
    head, body = "html head meta title style body main header footer", "h1 h2 span p dl dt dd details summary pre ul li"
    known = {*f"{head} {body} b div small i u table thead tbody tfoot tr th td".split()}
    assert {each.tag.removeprefix(XHTML) for each in tree.iter()} <= known
    assert {name for each in tree.iter() for name in each.attrib} <= {
        *("lang", "charset", "http-equiv", "content", "name", "class", "style", "title", "colspan")
    }
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert any("alert(1)" in each for each in texts(tree, "pre"))


def test_the_page_asks_nobody_for_anything(home: Home, add: Callable[..., Path]) -> None:
    """It says so to the browser as well."""
    add(ending={"summary": "done", "closed_at": "2030-01-31T08:16:00Z"})
    text, _ = shown(home)
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert re.findall(r"url\(|@import|src=|href=|<script|<link", text) == []
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/1999/xhtml"]


def test_the_timeline_has_a_bar_for_each_attempt_and_marks_crashes_and_waits(
    home: Home, add: Callable[..., Path]
) -> None:
    """Below the phase that the step belongs to."""
    run_dir = add()
    artifacts.append_event(run_dir, "phase_began", label="reading")
    for kind, attempt in (("started", 1), ("failed", 1), ("started", 2)):
        artifacts.append_event(
            run_dir, f"step_{kind}", step="a", label="reader", attempt=attempt, error="no", worker="w"
        )
    artifacts.append_event(run_dir, "worker_died", worker="w")
    artifacts.append_event(run_dir, "step_started", step="a", label="reader", attempt=2, worker="v")
    artifacts.append_event(run_dir, "step_finished", step="a", label="reader", attempt=2, tokens=[{"input": 1234}])
    artifacts.append_event(run_dir, "step_started", step="b", label="writer", worker="v")
    questions.put(run_dir, Question("q1", "Well?"))
    _, tree = shown(home)
    assert bars(tree) == ["question", "failed", "lost", "finished", "running"]
    names = ["".join(each.itertext()) for each in tree.iter() if each.get("class") == "name"]
    assert names == ["", "crashes", "questions", "reading 1 of 2", "reader (1 retried, 1 lost)", "writer"]
    rows = texts(tree, "tr")
    assert any(row.startswith("reader1 of 111") and "1,234" in row for row in rows)
    assert any("reader, attempt 1 failed: no" in row for row in rows)
    assert any("the worker died: 1 attempt was lost" in row for row in rows)
    assert "Well?" in "".join(tree.itertext())


def test_thousands_of_steps_are_a_row_for_each_name(home: Home, add: Callable[..., Path]) -> None:
    """It opens to the steps, those with trouble first, and the page stays small."""
    run_dir = add(ending={"summary": "done", "closed_at": "2030-01-31T10:15:00Z"})
    with (run_dir / artifacts.TRANSCRIPT).open("w", encoding="utf-8") as file:
        for number in range(5_000):
            when = f"2030-01-31T{8 + number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
            about = f'"step": "s{number}", "label": "reader {number % 2}", "attempt": 1, "at": "{when}"'
            ending = "failed" if number == 4_000 else "finished"
            file.write(f'{{"event": "step_started", {about}}}\n{{"event": "step_{ending}", {about}}}\n')
    text, tree = shown(home)
    summaries = texts(tree, "summary")
    assert [each for each in summaries if "reader" in each] == ["reader 0 \u00d7 2,500", "reader 1 \u00d7 2,500"]
    assert bars(tree).count("failed") == 2
    assert len(text) < 1_000_000


def test_a_run_without_a_step_has_a_page(home: Home, add: Callable[..., Path]) -> None:
    """It says so."""
    add()
    _, tree = shown(home)
    assert "It has taken no step yet." in texts(tree, "p")


def test_a_long_report_is_cut(home: Home, add: Callable[..., Path]) -> None:
    """The page says where the rest is."""
    run_dir = add(ending={"summary": "done", "closed_at": "2030-01-31T08:16:00Z"})
    (run_dir / "report.md").write_text("word " * 100_000, encoding="utf-8")
    text, tree = shown(home)
    assert len(text) < 400_000
    assert any(each.endswith("report.md") for each in texts(tree, "pre"))
