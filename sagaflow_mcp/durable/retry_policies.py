"""Retry policies for a workflow's steps, one per model tier.

An attempt that ended because the worker itself died is never counted: see `steps`.
"""

from datetime import timedelta

from temporalio.common import RetryPolicy

__all__ = ["HAIKU_POLICY", "OPUS_POLICY", "SONNET_POLICY"]

HAIKU_POLICY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=8,
)
"""Quick, cheap calls: eight attempts within about two minutes."""

SONNET_POLICY = RetryPolicy(
    initial_interval=timedelta(seconds=2),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=2),
    maximum_attempts=10,
)
"""Ordinary calls: ten attempts within about eight minutes."""

OPUS_POLICY = RetryPolicy(
    initial_interval=timedelta(seconds=5),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=5),
    maximum_attempts=12,
)
"""Long, costly calls: twelve attempts within about half an hour, so that an overloaded provider can recover."""
