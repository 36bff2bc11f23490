"""Durable agent workflows for Claude Code: they outlive the session, survive every crash and report to an inbox."""

__version__ = "0.1.0"
