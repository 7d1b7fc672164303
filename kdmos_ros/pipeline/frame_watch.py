"""Clouds of several LiDARs on one topic: one history is of one LiDAR only."""

from __future__ import annotations

from kdmos_ros.pipeline.localization import DroppedScan

# After so long without a cloud, another frame is a LiDAR that was renamed or replaced.
_SILENCE_NS = 5_000_000_000


class FrameWatch:
    """Lets clouds of one frame pass."""

    def __init__(self) -> None:
        self._frame: str | None = None
        self._last_ns = 0

    def check(self, frame: str, stamp_ns: int, wanted: str = "") -> None:
        """Check a cloud's frame.

        Args:
            wanted: the only frame to take; empty: that of the first cloud, until none has come
                for five seconds.

        Raises:
            DroppedScan: `other_frame`, naming both.
        """
        silent = abs(stamp_ns - self._last_ns) > _SILENCE_NS
        known = wanted.lstrip("/") or (None if silent else self._frame)
        if known is not None and frame != known:
            raise DroppedScan(
                "other_frame",
                f"cloud is in frame {frame!r}, not {known!r}: two LiDARs on one topic? Their "
                "clouds do not compare; choose one with the parameter cloud_frame (offline "
                "--frame), or give each a topic and a node of its own",
            )
        self._frame, self._last_ns = frame, stamp_ns
