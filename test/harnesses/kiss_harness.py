"""KISS-ICP on a bench: a stand-in for the library, a source with it, a hall to drive through."""

import numpy as np
import pytest
from logger_harness import Logger

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import invert, make_transform
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.kiss_source import KissSource
from kdmos_ros.poses.pose_source import StampedCloud
from kdmos_ros.throttled_log import ThrottledLog

STEP = 100_000_000


class Library:
    """Stands in for KissICP: goes 1 m a cloud, or what `script` says."""

    made = 0

    def __init__(self, script):
        Library.made += 1
        self.last_pose = np.eye(4)
        self.last_delta = np.eye(4)
        self.script = script
        self.position = 0.0
        self.seen = []
        self.guesses, self.deltas = [], []

    def register_frame(self, points, times):
        assert points.dtype == np.float64 and np.isfinite(points).all()
        assert len(times) in (0, len(points))
        self.seen.append((points, times))
        guess = self.last_pose @ self.last_delta
        self.guesses.append(guess[0, 3])
        self.deltas.append(self.last_delta[0, 3])
        x = self.script.pop(0) if self.script else 1.0
        if isinstance(x, Exception):
            raise x
        if len(self.seen) == 1:
            return
        self.position += x
        new = make_transform(np.eye(3), [self.position, 0, 0])
        self.last_delta = invert(self.last_pose) @ new
        self.last_pose = new


class Bench:
    def __init__(self, *script):
        self.script = list(script)
        self.logger = Logger()
        buffer = PoseBuffer(max_seconds=5.0, max_gap_s=2.0, max_jump_m=1.0, name="KISS-ICP")
        self.source = KissSource(
            buffer, "base_link", lambda: Library(self.script), ThrottledLog(self.logger, 0)
        )

    @property
    def library(self):
        return self.source._odometry

    def see(self, step, points=None, seconds=None):
        """x of the pose of a cloud, and its generation."""
        points = cloud() if points is None else points
        self.source.observe(StampedCloud(round(step * STEP), "lidar", points, seconds))
        pose, generation, _ = self.source.wait(round(step * STEP), 10.0)
        return pytest.approx(pose[0, 3]), generation

    def reason(self, *arguments):
        with pytest.raises(PoseError) as caught:
            self.see(*arguments)
        return caught.value.reason


def cloud(n=500):
    return np.random.default_rng(0).uniform(5, 30, (n, 3)).astype(np.float32)


def room(pose, n=4000, seed=0):
    """Points on the walls and the floor of a hall, in the frame of a sensor at a pose."""
    rng = np.random.default_rng(seed)
    walls = rng.uniform([-20, -15, -1.7], [20, 15, 3], (n, 3))
    axis = rng.integers(0, 3, n)
    side = np.where(rng.random(n) < 0.5, -1, 1)
    walls[axis == 0, 0] = 20 * side[axis == 0]
    walls[axis == 1, 1] = 15 * side[axis == 1]
    walls[axis == 2, 2] = -1.7
    back = invert(pose)
    return (walls @ back[:3, :3].T + back[:3, 3]).astype(np.float32)
