"""Starts a hook where Python is recent enough; it must parse on Python 3.6.

Its arguments are the name that hooks/run.sh was given, and the process that did so.
"""

import gc
import os
import sys

if sys.version_info >= (3, 9):  # noqa: UP036 - the system decides which Python runs a hook
    # Collecting and tidying up take a fifth of so short a life.
    gc.disable()
    sys.dont_write_bytecode = True
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # In the wheel this folder lies inside the package.
    sys.path.append(os.path.dirname(root) if os.path.basename(root) == "sagaflow_mcp" else root)

    if sys.argv[1] in {"wait", "launched"}:
        from sagaflow_mcp import waiter

        gc.enable()  # It may wait for days.
        os._exit(waiter.main(int(sys.argv[2])))

    from sagaflow_mcp import hook

    os._exit(hook.main(int(sys.argv[2])))
