"""Errors that a user can cause. Each carries one clear line; the CLI prints it and exits with 2."""

from __future__ import annotations


class KdmosError(Exception):
    """Base of all errors whose message is meant for the user."""


class ReasonedError(KdmosError):
    """An error with a short machine-readable reason, so that drops can be counted by it.

    Args:
        reason: snake_case word, used as a counter name in diagnostics.
        message: one line for the user.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PoseError(ReasonedError):
    """No trustworthy pose at the asked stamp."""


class CloudError(ReasonedError):
    """A PointCloud2 message that cannot be read."""


class ModelError(KdmosError):
    """A model folder that is missing, damaged or does not fit this code."""
