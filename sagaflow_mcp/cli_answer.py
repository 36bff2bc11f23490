"""`sagaflow answer`: a person's answer to a question that a run asks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import answering, cli_output
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse


def answer(options: argparse.Namespace) -> int:
    """Bring the answer to the run."""
    settings = Settings.of_user(os.environ)
    question = anyio.run(answering.answer, settings, options.run_id, options.answer, options.question)
    if options.as_json:
        return cli_output.print_json({"run_id": options.run_id, "question": question})
    print(f"answered; the run goes on: sagaflow show {options.run_id}")
    return 0
