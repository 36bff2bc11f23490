"""The `sagaflow` command: everything that the MCP tools do, from a shell."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from sagaflow_mcp import __version__
from sagaflow_mcp.errors import SagaflowError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_FAILURE = 1
EXIT_BUG = 3
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
"""What a shell reports of a command that wrote to a closed pipe: 128 + SIGPIPE."""

UNWRITABLE = frozenset({errno.EDQUOT, errno.EIO, errno.ENOSPC})
"""Why output cannot be written although somebody would have it: a full disk, or a terminal that is gone."""


# What takes time to load is imported inside, after `entry` has seen to a ^C that comes meanwhile.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0 done, 1 refused or failed, 2 usage, 3 a bug, 130 interrupted."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        status = _carry_out(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except SagaflowError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt as error:
        # A second ^C would only interrupt the interpreter's own shutdown, and show its trace.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        said = str(error) or "interrupted; runs that were launched go on: see `sagaflow runs`"
        return _complain(said, EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone, as `head` does; nothing more can be said, not even by Python's own shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - the one boundary where a bug becomes a sentence
        if isinstance(error, OSError) and error.errno in UNWRITABLE and error.filename is None:
            return _complain(f"the output cannot be written: {error.strerror}", EXIT_FAILURE)
        return _bug(error)
    return status


def entry() -> NoReturn:
    """The console script: run the command line, and end the process with its exit status."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        # Whoever presses ^C while modules are loaded need not see the trace of an import.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_what_is_closed()
    from sagaflow_mcp import cli_parser, processes, records  # noqa: F401, PLC0415 - as said above

    if "_ARGCOMPLETE" in os.environ:
        from sagaflow_mcp import cli_completion  # noqa: PLC0415 - no other command line needs it

        cli_completion.answer(cli_parser.grammar())
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = main()
    except KeyboardInterrupt:  # Another one, while the first was answered.
        status = EXIT_INTERRUPTED
    processes.leave(status)


def _carry_out(arguments: list[str]) -> int:
    from sagaflow_mcp import cli_parser  # noqa: PLC0415 - as said above

    try:
        options = cli_parser.parse(arguments)
    except SystemExit as ended:
        # Help or the version, which argparse has printed.
        return int(ended.code or 0)
    status: int = options.command(options)
    return status


def _open_what_is_closed() -> None:
    """Have nothing where the shell closed a standard stream, as with `>&-`.

    Else the next file that is opened takes its place, the database of a server among them, and what is printed goes
    there; and what is meant for standard error goes to standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end


def _complain(sentence: str, status: int) -> int:
    """`status`, once `sentence` is on standard error, if anybody reads that."""
    from sagaflow_mcp import records  # noqa: PLC0415 - as said above

    line = records.one_line(f"sagaflow: {sentence}", records.SENTENCE_LIMIT)
    with contextlib.suppress(OSError):
        # Not broken at the terminal's width: there may be a command in it, to be copied.
        print(line, file=sys.stderr, flush=True)
    return status


def _bug(error: Exception) -> int:
    import tempfile  # noqa: PLC0415 - needed only when something is wrong with Sagaflow itself
    import traceback  # noqa: PLC0415

    text = f"sagaflow {__version__}: {' '.join(sys.argv)}\n{''.join(traceback.format_exception(error))}"
    with tempfile.NamedTemporaryFile(
        "w", prefix="sagaflow-bug-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(text)
    return _complain(f"this is a bug ({type(error).__name__}); please report it with {file.name}", EXIT_BUG)
