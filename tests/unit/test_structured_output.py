"""The structured block in a model's reply."""

import pytest

from sagaflow_mcp import structured_output

BLOCKS = {
    "plain": ("STRUCTURED_OUTPUT_START\nGREETING|hello, alice\nSTRUCTURED_OUTPUT_END", {"GREETING": "hello, alice"}),
    "spaces around the bar": (
        "STRUCTURED_OUTPUT_START\n  GREETING | hello \nSTRUCTURED_OUTPUT_END",
        {"GREETING": "hello"},
    ),
    "more lines": (
        "STRUCTURED_OUTPUT_START\nA|one\ntwo\n\nthree\nB_2|x\nSTRUCTURED_OUTPUT_END",
        {"A": "one\ntwo\n\nthree", "B_2": "x"},
    ),
    "a value on the next line": ("STRUCTURED_OUTPUT_START\nA|\none\nSTRUCTURED_OUTPUT_END", {"A": "one"}),
    "an empty value": ("STRUCTURED_OUTPUT_START\nA|\nB|x\nSTRUCTURED_OUTPUT_END", {"A": "", "B": "x"}),
    "a bar in a value": ("STRUCTURED_OUTPUT_START\nA|x|y | z\nSTRUCTURED_OUTPUT_END", {"A": "x|y | z"}),
    "a table in a value": (
        "STRUCTURED_OUTPUT_START\nA|\n| h | i |\n|---|---|\nSTRUCTURED_OUTPUT_END",
        {"A": "| h | i |\n|---|---|"},
    ),
    "a lower-case word before a bar": ("STRUCTURED_OUTPUT_START\nA|x\nb|y\nSTRUCTURED_OUTPUT_END", {"A": "x\nb|y"}),
    "prose around": (
        "Sure!\nSTRUCTURED_OUTPUT_START\nnote\nA|x\nSTRUCTURED_OUTPUT_END\nDone. B|y",
        {"A": "x"},
    ),
    "no end": ("STRUCTURED_OUTPUT_START\nA|x\nB|y", {"A": "x", "B": "y"}),
    "the last of two": (
        "STRUCTURED_OUTPUT_START\nA|1\nSTRUCTURED_OUTPUT_END\nno:\nSTRUCTURED_OUTPUT_START\nA|2\nSTRUCTURED_OUTPUT_END",
        {"A": "2"},
    ),
    "the last with fields": (
        "STRUCTURED_OUTPUT_START\nA|1\nSTRUCTURED_OUTPUT_END\nThat was STRUCTURED_OUTPUT_START as asked.",
        {"A": "1"},
    ),
    "the last of a key": ("STRUCTURED_OUTPUT_START\nA|1\nA|2\nSTRUCTURED_OUTPUT_END", {"A": "2"}),
    "Windows lines": ("STRUCTURED_OUTPUT_START\r\nA|x\r\ny\r\nSTRUCTURED_OUTPUT_END\r\n", {"A": "x\ny"}),
    "bold markers": ("**STRUCTURED_OUTPUT_START**\nA|x\n**STRUCTURED_OUTPUT_END**", {"A": "x"}),
    "a fence around": ("```\nSTRUCTURED_OUTPUT_START\nA|x\nSTRUCTURED_OUTPUT_END\n```", {"A": "x"}),
    "a fence around and no end": ("```text\nSTRUCTURED_OUTPUT_START\nA|x\n```", {"A": "x"}),
    "a fence inside": ("STRUCTURED_OUTPUT_START\n```text\nA|x\n```\nSTRUCTURED_OUTPUT_END", {"A": "x"}),
    "a fence in a value": (
        "STRUCTURED_OUTPUT_START\nA|\n```python\nx = 1\n```\nSTRUCTURED_OUTPUT_END",
        {"A": "```python\nx = 1\n```"},
    ),
    "one line with slashes": (
        "STRUCTURED_OUTPUT_START / GREETING|hello / STRUCTURED_OUTPUT_END",
        {"GREETING": "hello"},
    ),
    "one line, two keys": (
        "STRUCTURED_OUTPUT_START / A|a / b / B|https://x/ / STRUCTURED_OUTPUT_END",
        {"A": "a / b", "B": "https://x/"},
    ),
    "one line without slashes": ("STRUCTURED_OUTPUT_START GREETING|hello STRUCTURED_OUTPUT_END", {"GREETING": "hello"}),
    "slashes on lines": (
        "STRUCTURED_OUTPUT_START /\nGREETING|hello, alice /\nSTRUCTURED_OUTPUT_END",
        {"GREETING": "hello, alice"},
    ),
    "slashes before lines": (
        "STRUCTURED_OUTPUT_START\n/ GREETING|hello\n/ STRUCTURED_OUTPUT_END",
        {"GREETING": "hello"},
    ),
    "JSON": (
        'STRUCTURED_OUTPUT_START\n{"A": "x", "N": 3, "L": [1, "é"]}\nSTRUCTURED_OUTPUT_END',
        {"A": "x", "N": "3", "L": '[1, "é"]'},
    ),
    "fenced JSON": ('STRUCTURED_OUTPUT_START\n```json\n{"A": "x"}\n```\nSTRUCTURED_OUTPUT_END', {"A": "x"}),
    "a sole fenced JSON object": ('```json\n{"A": "x"}\n```\n', {"A": "x"}),
    "half a surrogate pair": ('STRUCTURED_OUTPUT_START {"A": "\\ud83d"} STRUCTURED_OUTPUT_END', {"A": "?"}),
}

PROSE = {
    "nothing": "",
    "plain text": "hello, alice",
    "a bar in text": "A|x",
    "an empty block": "STRUCTURED_OUTPUT_START\nSTRUCTURED_OUTPUT_END",
    "a block without keys": "STRUCTURED_OUTPUT_START\nhello\nSTRUCTURED_OUTPUT_END",
    "broken JSON": 'STRUCTURED_OUTPUT_START\n{"A": \nSTRUCTURED_OUTPUT_END',
    "JSON without a fence": '{"A": "x"}',
    "a fenced list": "```json\n[1]\n```",
    "fenced JSON within prose": 'For example:\n```json\n{"A": "x"}\n```',
    "JSON too deep to read": "```json\n" + '{"A":' * 100_000 + "\n```",
}


@pytest.mark.parametrize(("text", "fields"), BLOCKS.values(), ids=BLOCKS)
def test_a_block_gives_its_fields(text: str, fields: dict[str, str]) -> None:
    """Every way in which models write a block is understood."""
    assert structured_output.parse(text) == structured_output.Parsed(fields, has_block=True)


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_a_reply_without_a_block_comes_back_whole(text: str) -> None:
    """What has no usable block is the field RESPONSE, unchanged."""
    assert structured_output.parse(text) == structured_output.Parsed({"RESPONSE": text}, has_block=False)


@pytest.mark.parametrize("filler", [" ", "\n", "/ ", "`", "*", "A", "A|", "STRUCTURED_OUTPUT_START\n"])
def test_a_huge_reply_is_read(filler: str) -> None:
    """Nothing that a model repeats without end makes reading it take for ever."""
    text = "STRUCTURED_OUTPUT_START /\n" + filler * (300_000 // len(filler)) + "\nZ|end"
    assert structured_output.parse(text).fields["Z"] == "end"
