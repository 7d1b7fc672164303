"""Poses out of messages of every type."""

from types import SimpleNamespace

import numpy as np
import pytest

from kdmos_ros.poses.pose_messages import PATH, POSE_TYPES, PoseReader

SECOND = 1_000_000_000


def vector(x, y, z):
    return SimpleNamespace(x=x, y=y, z=z)


def pose(x, w=1.0):
    return SimpleNamespace(
        position=vector(x, 2.0, 0.0), orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=w)
    )


def header(seconds, frame="odom"):
    sec, nanosec = divmod(round(seconds * SECOND), SECOND)
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame)


def message(msgtype, seconds, x, w=1.0, **names):
    made = SimpleNamespace(header=header(seconds), **names)
    if msgtype.endswith("TransformStamped"):
        made.transform = SimpleNamespace(
            translation=vector(x, 2.0, 0.0), rotation=pose(x, w).orientation
        )
    elif msgtype.endswith("PoseStamped"):
        made.pose = pose(x, w)
    else:
        made.pose = SimpleNamespace(pose=pose(x, w))
    return made


def path(*stamps, frame="map"):
    return SimpleNamespace(
        header=header(0, frame),
        poses=[SimpleNamespace(header=header(s, ""), pose=pose(float(s))) for s in stamps],
    )


class Bench:
    def __init__(self):
        self.broken = []
        self.reader = PoseReader(lambda at, why: self.broken.append((at, why)), "base_link")

    def read(self, message, msgtype):
        return list(self.reader.read(message, msgtype))


@pytest.mark.parametrize("msgtype", [t for t in POSE_TYPES if t != PATH])
def test_every_type(msgtype):
    names = {} if "Pose" in msgtype else {"child_frame_id": "/robot"}
    bench = Bench()
    (found,) = bench.read(message(msgtype, 1.5, 3.0, **names), msgtype)
    assert found.stamp_ns == 1.5 * SECOND
    assert (found.parent, found.child) == ("odom", "robot" if names else "base_link")
    np.testing.assert_array_equal(found.pose[:3, 3], [3, 2, 0])
    assert bench.read(message(msgtype, 1.6, 3.0, w=0.0, **names), msgtype) == []
    assert bench.read(message(msgtype, 1.7, np.nan, **names), msgtype) == []
    assert [at for at, _ in bench.broken] == [1.6 * SECOND, 1.7 * SECOND]


def test_odometry_that_names_no_child_is_left_so():
    (found,) = Bench().read(message(POSE_TYPES[0], 1, 0.0, child_frame_id=""), POSE_TYPES[0])
    assert found.child == ""


def test_a_path_gives_what_was_added_to_it():
    bench = Bench()
    assert bench.read(path(), PATH) == []
    assert [p.stamp_ns // SECOND for p in bench.read(path(1, 2), PATH)] == [1, 2]
    assert bench.read(path(1, 2), PATH) == []
    (third,) = bench.read(path(1, 2, 3), PATH)
    assert (third.parent, third.child, third.pose[0, 3]) == ("map", "base_link", 3)


def test_a_path_that_starts_anew_is_read_anew():
    bench = Bench()
    bench.read(path(100, 101, 102), PATH)
    assert [p.stamp_ns // SECOND for p in bench.read(path(1, 2), PATH)] == [1, 2]
