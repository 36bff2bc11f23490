"""The `sagaflow` command: everything that the MCP tools do, from a shell."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from sagaflow_mcp import __version__, records
from sagaflow_mcp.errors import SagaflowError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_BUG = 3
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
"""What a shell reports of a command that wrote to a closed pipe: 128 + SIGPIPE."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0 done, 1 refused or failed, 2 usage, 3 a bug, 130 interrupted."""
    # Imported here: the parser alone answers --help, and imports nothing that a command does not need.
    from sagaflow_mcp import cli_parser  # noqa: PLC0415

    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        options = cli_parser.parse(list(sys.argv[1:] if arguments is None else arguments))
        status: int = options.command(options)
        if sys.stdout is not None:  # As after `>&-`.
            sys.stdout.flush()
    except SagaflowError as error:
        print(f"sagaflow: {records.one_line(str(error), records.SENTENCE_LIMIT)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        # A second ^C would only interrupt the interpreter's own shutdown, and show its trace.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        said = str(error) or "interrupted; runs that were launched go on: see `sagaflow runs`"
        print(f"sagaflow: {said}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as `head` does; nothing more can be said, not even by Python's own shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - the one boundary where a bug becomes a sentence
        return _bug(error)
    return status


def entry() -> NoReturn:
    """The console script: run the command line, and end the process with its exit status."""
    from sagaflow_mcp import processes  # noqa: PLC0415 - as above

    processes.leave(main())


def _bug(error: Exception) -> int:
    import tempfile  # noqa: PLC0415 - needed only when something is wrong with Sagaflow itself
    import traceback  # noqa: PLC0415

    text = f"sagaflow {__version__}: {' '.join(sys.argv)}\n{''.join(traceback.format_exception(error))}"
    with tempfile.NamedTemporaryFile(
        "w", prefix="sagaflow-bug-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(text)
    print(f"sagaflow: this is a bug ({type(error).__name__}); please report it with {file.name}", file=sys.stderr)
    return EXIT_BUG
