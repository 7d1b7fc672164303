"""Rate-limited logging by topic of complaint: a storm of one kind does not hide the others."""

from __future__ import annotations

import threading
import time
from typing import Any


class ThrottledLog:
    """Logs the first message of a kind at once, then one a period with the number left out.

    Args:
        logger: anything with `warning` and `error` (rclpy's or the standard library's logger).
        period_s: least time between two messages of a kind.
    """

    def __init__(self, logger: Any, period_s: float = 5.0) -> None:
        self._logger = logger
        self._period_s = period_s
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}
        self._lock = threading.Lock()

    def warning(self, kind: str, message: str) -> None:
        """Something is off, but the scan may still be labelled."""
        text = self._admit(kind, message)
        if text:
            self._logger.warning(text)

    def error(self, kind: str, message: str) -> None:
        """A scan was lost."""
        text = self._admit(kind, message)
        if text:
            self._logger.error(text)

    def _admit(self, kind: str, message: str) -> str | None:
        now = time.monotonic()
        with self._lock:
            last = self._last.get(kind)
            if last is not None and now - last < self._period_s:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return None
            self._last[kind] = now
            left_out = self._left_out.pop(kind, 0)
        return f"{message} ({left_out} more like this before)" if left_out else message
