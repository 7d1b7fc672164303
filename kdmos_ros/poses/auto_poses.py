"""Poses where the user leaves their source open: odometry, or what there is without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from kdmos_ros.poses.buffer import FoundPose
from kdmos_ros.poses.pose_source import BufferedPoses, PoseSource, StampedCloud
from kdmos_ros.throttled_log import ThrottledLog

# Odometry that must first stand still or fill its filters begins within seconds.
PATIENCE_S = 5.0


Offer = Callable[[StampedCloud], tuple[PoseSource, str] | None]
"""Gives a source of poses and what to call it, or None as long as it has none for such a cloud."""


class AutoPoses:
    """A PoseSource that takes odometry as soon as there is any, else what else has poses.

    The choice is made once. Until then, clouds are dropped for want of odometry.

    Args:
        odometry: is chosen once its buffer has a pose, if its frames lead to the LiDAR.
        topic: of it, for messages.
        leads: whether the odometry's base frame and the mount lead to the clouds' frame.
        from_tf: asked once `patience_s` have passed since the first cloud.
        from_clouds: asked after it where there is no odometry at all.
        remedy: what to do where neither has poses, one line.
        clock: gives seconds and never goes back.

    Attributes:
        state: for diagnostics: what was chosen, and why.
    """

    def __init__(
        self,
        odometry: BufferedPoses,
        topic: str,
        leads: Callable[[str, str], bool],
        from_tf: Offer,
        from_clouds: Offer,
        remedy: str,
        log: ThrottledLog,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._odometry = odometry
        self._source: PoseSource = odometry
        self._topic = topic
        self._leads = leads
        self._from_tf, self._from_clouds = from_tf, from_clouds
        self._remedy = remedy
        self._log = log
        self._patience_s = patience_s
        self._clock = clock
        self._first_s: float | None = None
        self._limits: tuple[float, float, float] | None = None
        self._interrupted = False
        self.chosen = self._told = False
        self.state = f"auto: no odometry on {topic} yet"

    @property
    def kind(self) -> str:
        """See PoseSource, as are the other three."""
        return self._source.kind

    @property
    def base_frame(self) -> str:
        """See PoseSource."""
        return self._source.base_frame

    @property
    def fixed_frame(self) -> str:
        """See PoseSource."""
        return self._source.fixed_frame

    @property
    def gives_sensor(self) -> bool:
        """See PoseSource."""
        return self._source.gives_sensor

    def limit(self, max_seconds: float, max_gap_s: float, max_jump_m: float) -> None:
        """See PoseSource."""
        self._limits = max_seconds, max_gap_s, max_jump_m
        self._source.limit(*self._limits)

    def observe(self, cloud: StampedCloud) -> None:
        """Choose, if that is still open; then see PoseSource."""
        if not self.chosen:
            self._choose(cloud)
        elif self._source is not self._odometry and len(self._odometry.buffer) and not self._told:
            self._told = True
            self._log.warning(
                "late_odometry",
                f"odometry arrives on {self._topic} now, but poses stay as they are: {self.state}; "
                "configure the node again to use it, or set the parameter pose_source to odometry",
            )
        self._source.observe(cloud)

    def wait(self, stamp_ns: int, timeout_s: float) -> FoundPose:
        """See PoseSource."""
        return self._source.wait(stamp_ns, timeout_s)

    def rewind(self, stamp_ns: int) -> None:
        """See PoseSource."""
        self._source.rewind(stamp_ns)

    def reset(self) -> None:
        """See PoseSource; the choice stays."""
        self._source.reset()

    def interrupt(self) -> None:
        """See PoseSource."""
        self._interrupted = True
        self._source.interrupt()

    def resume(self) -> None:
        """See PoseSource."""
        self._interrupted = False
        self._source.resume()

    def figures(self) -> Mapping[str, object]:
        """Counters of the source in use, and which one that is."""
        return {"pose_source": self.state, **self._source.figures()}

    def close(self) -> None:
        """See PoseSource."""
        self._odometry.close()
        self._source.close()

    def _choose(self, cloud: StampedCloud) -> None:
        heard, base = len(self._odometry.buffer) > 0, self._odometry.base_frame
        if heard and self._leads(base, cloud.frame):
            self.chosen, self.state = True, f"odometry on {self._topic}"
            return
        if self._first_s is None:
            self._first_s = self._clock()
        if self._clock() - self._first_s < self._patience_s:
            return
        why = f"no odometry on {self._topic} for {self._patience_s:g} s"
        offers = [self._from_tf, self._from_clouds]
        if heard:
            child = base or "not named"
            why = f"the odometry on {self._topic}, child frame {child}, leads to no {cloud.frame}"
            offers = [self._from_tf]
        for offer in offers:
            offered = offer(cloud)
            if offered is not None:
                source, name = offered
                self._take(source, f"{name} ({why})")
                self._log.warning("pose_source", f"{why}: poses are taken from {name} from now on")
                return
        self.state = f"auto: {why}: {self._remedy}"
        self._log.warning("pose_source", f"{why}: {self._remedy}")

    def _take(self, source: PoseSource, state: str) -> None:
        if self._limits is not None:
            source.limit(*self._limits)
        self._source, self.chosen, self.state = source, True, state
        if self._interrupted:
            source.interrupt()
