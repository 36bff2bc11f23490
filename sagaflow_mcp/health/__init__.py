"""The checks of `doctor` that look beyond Sagaflow's own files: at the model, at Claude Code, at runs and processes."""

from sagaflow_mcp.health._check import Check, Level

__all__ = ["Check", "Level"]
