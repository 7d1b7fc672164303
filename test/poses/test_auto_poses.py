"""Where the source of poses is left open: what is taken, when, and that it stays."""

import numpy as np
import pytest
from logger_harness import Logger

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.poses.auto_poses import PATIENCE_S, AutoPoses
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.pose_source import BufferedPoses, StampedCloud
from kdmos_ros.throttled_log import ThrottledLog

STEP = 100_000_000


class Other(BufferedPoses):
    """A source without a topic: 1 m a cloud."""

    kind = "kiss"
    gives_sensor = True

    def observe(self, cloud):
        self.buffer.add(cloud.stamp_ns, make_transform(np.eye(3), [cloud.stamp_ns / STEP, 0, 0]))


class Bench:
    def __init__(self, offers=("other",)):
        self.now, self.step, self.asked = 0.0, 0, []
        self.logger = Logger()
        self.odometry = BufferedPoses(PoseBuffer(), "base_link", "odom")
        self.other = Other(PoseBuffer(name="cloud pose"), "base_link")
        self.ready, self.leading = set(offers), {"base_link"}
        self.poses = AutoPoses(
            self.odometry, "/odom", lambda base, lidar: base in self.leading,
            self.offer("first"), self.offer("other"), "do this",
            ThrottledLog(self.logger, 0), clock=lambda: self.now,
        )  # fmt: skip
        self.poses.limit(10.0, 0.5, 1.0)

    def offer(self, name):
        def ask(cloud):
            self.asked.append(name)
            return (self.other, f"the {name} one") if name in self.ready else None

        return ask

    def hear(self):
        self.odometry.buffer.add(self.step * STEP, make_transform(np.eye(3), [0, self.step, 0]))

    def see(self, seconds=0.1):
        """Reason why the next cloud has no pose; empty if it has."""
        self.now += seconds
        self.step += 1
        self.poses.observe(StampedCloud(self.step * STEP, "lidar", np.ones((1, 3), np.float32)))
        try:
            self.poses.wait(self.step * STEP, 0.0)
        except PoseError as error:
            return error.reason
        return ""


def test_odometry_is_taken_as_soon_as_there_is_any():
    bench = Bench()
    assert bench.see() == "timeout"
    bench.step += 1
    bench.hear()
    bench.step -= 1
    assert bench.see() == ""
    assert bench.poses.kind == "pose"
    assert bench.poses.figures()["pose_source"] == "odometry on /odom"
    assert bench.asked == []
    # Silence later is not the want of odometry.
    assert bench.see(2 * PATIENCE_S) == "timeout"
    assert bench.poses.kind == "pose"
    assert bench.logger.lines == []


def test_other_poses_are_taken_after_a_while_and_stay():
    bench = Bench()
    assert bench.see() == "timeout"
    assert bench.see(PATIENCE_S - 0.1) == "timeout"
    assert bench.asked == []
    assert bench.see(0.1) == ""
    assert (bench.poses.kind, bench.poses.gives_sensor) == ("kiss", True)
    assert bench.asked == ["first", "other"]
    for _ in range(3):
        bench.hear()
        assert bench.see() == ""
    assert bench.poses.kind == "kiss"
    taken, late = bench.logger.lines
    assert f"no odometry on /odom for {PATIENCE_S:g} s: poses are taken from the other one" in taken
    assert "odometry arrives on /odom now, but poses stay" in late
    figures = bench.poses.figures()
    assert figures["pose_source"] == f"the other one (no odometry on /odom for {PATIENCE_S:g} s)"
    assert figures["cloud pose.added"] == 4


def test_without_any_the_remedy_is_told_and_odometry_still_wins():
    bench = Bench(offers=())
    bench.see()
    assert bench.see(PATIENCE_S) == "timeout"
    assert any("do this" in line for line in bench.logger.lines)
    assert "do this" in bench.poses.figures()["pose_source"]
    bench.step += 1
    bench.hear()
    bench.step -= 1
    assert bench.see() == ""
    assert bench.poses.kind == "pose"


def test_what_appears_late_is_taken_too():
    bench = Bench(offers=())
    bench.see()
    bench.see(PATIENCE_S)
    bench.ready.add("first")
    assert bench.see() == ""
    assert bench.asked == ["first", "other", "first"]


def test_limits_and_interruption_reach_the_one_that_is_taken():
    bench = Bench()
    bench.poses.interrupt()
    bench.see()
    bench.see(PATIENCE_S)
    assert bench.other.buffer.max_jump_m == 1.0
    with pytest.raises(PoseError):  # at once
        bench.poses.wait(10 * STEP, 1000.0)
    bench.poses.limit(10.0, 0.5, 2.0)
    assert bench.other.buffer.max_jump_m == 2.0
    bench.poses.reset()
    assert bench.poses.kind == "kiss"


def test_odometry_that_does_not_lead_to_the_lidar_gives_way_to_tf_alone():
    bench = Bench(offers=("other",))
    bench.leading.clear()
    bench.step += 1
    bench.hear()
    bench.step -= 1
    bench.see()
    bench.see(PATIENCE_S)
    assert bench.asked == ["first"]
    assert not bench.poses.chosen
    assert "child frame base_link, leads to no lidar: do this" in bench.logger.lines[-1]
    bench.ready.add("first")
    assert bench.see() == ""
    assert "child frame base_link, leads to no lidar" in bench.poses.figures()["pose_source"]
