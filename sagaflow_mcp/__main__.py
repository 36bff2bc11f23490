"""`python -m sagaflow_mcp`: the `sagaflow` command."""

import sys

from sagaflow_mcp.cli import main

sys.exit(main())
