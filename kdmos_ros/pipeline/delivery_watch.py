"""Notices clouds that are published but do not arrive: the large-message trap of Fast DDS."""

from __future__ import annotations

import itertools
import threading
from collections import deque

SILENCE_S = 3.0
_LOWEST_USUAL_RATE_HZ = 5.0
_POOR_SHARE = 0.3
_WINDOW = 50
_ENOUGH = 3
_LOSS_WINDOW_S = 10.0
_MANY_LOST = 0.1
_PROFILE_HINT = (
    "Fast DDS loses large clouds with its default settings: set FASTRTPS_DEFAULT_PROFILES_FILE and"
    " FASTDDS_DEFAULT_PROFILES_FILE to kdmos_ros's config/fastdds_profile.xml for this node and for"
    " the driver, or, if the driver publishes reliably, the parameter cloud_reliability to"
    " 'reliable'"
)


class DeliveryWatch:
    """Judges arrivals by their stamps, so that bags played slowly or fast are judged alike.

    Args:
        expected_rate_hz: rate of the sensor; 0 learns it from the shortest step between stamps
            and takes it to be at least 5 Hz.

    Attributes:
        lost: clouds that the middleware says it has lost.
    """

    def __init__(self, expected_rate_hz: float = 0.0) -> None:
        self.expected_rate_hz = expected_rate_hz
        self._stamps: deque[int] = deque(maxlen=_WINDOW)
        self._last_arrival: float | None = None
        self._published_since: float | None = None
        self._recent: deque[tuple[float, int, int]] = deque()  # when, arrived, lost
        self.lost = 0
        self._lock = threading.Lock()

    def arrived(self, stamp_ns: int, now_s: float) -> None:
        """A cloud arrived at `now_s` of any clock that never goes back."""
        with self._lock:
            if self._stamps and stamp_ns <= self._stamps[-1]:
                self._stamps.clear()  # a bag that loops; nothing to be learned across it
            self._stamps.append(stamp_ns)
            self._last_arrival = now_s
            self._recent.append((now_s, 1, 0))

    def lost_on_the_way(self, count: int, now_s: float) -> None:
        """The middleware has lost so many more."""
        with self._lock:
            self.lost += count
            self._recent.append((now_s, 0, count))

    def complaint(self, now_s: float, publishers: int, topic: str) -> str | None:
        """One line for the log if delivery looks broken, else None. To be asked regularly.

        Args:
            now_s: as for `arrived`.
            publishers: number of publishers on the topic.
        """
        if publishers == 0:
            self._published_since = None
            return None
        if self._published_since is None:
            self._published_since = now_s
        with self._lock:
            last = self._last_arrival
            stamps = list(self._stamps)
            while self._recent and now_s - self._recent[0][0] > _LOSS_WINDOW_S:
                self._recent.popleft()
            arrived = sum(entry[1] for entry in self._recent)
            lost = sum(entry[2] for entry in self._recent)
        if lost >= _ENOUGH and lost > _MANY_LOST * (lost + arrived):
            share = f"{lost} of {lost + arrived} clouds of {topic}"
            return f"{share} were lost on the way: {_PROFILE_HINT}"
        if now_s - max(self._published_since, last or 0.0) > SILENCE_S:
            return (
                f"no cloud arrives {'on' if last is None else 'any more on'} {topic}: its "
                f"{publishers} publisher(s) are silent"
            )
        if len(stamps) < _ENOUGH:
            return None
        rate = (len(stamps) - 1) / (stamps[-1] - stamps[0]) * 1e9
        expected = self.expected_rate_hz or max(
            _LOWEST_USUAL_RATE_HZ,
            1e9 / min(b - a for a, b in itertools.pairwise(stamps)),
        )
        if rate < _POOR_SHARE * expected:
            return (
                f"only {rate:.1f} clouds per second of {topic} arrive, about {expected:.1f} are "
                "expected, and the middleware counts none as lost: look at the driver, or set the "
                "parameter expected_rate"
            )
        return None
