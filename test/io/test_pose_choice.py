"""Where poses of a bag come from, if the user leaves it open, and if not."""

import re
import sys

import numpy as np
import pytest
from drive_harness import START_NS, drive_topics, pose, stamp, write_bag
from pipeline_harness import Recorder

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import make_transform, matrix_to_quaternion
from kdmos_ros.io.bag_file import ODOMETRY, TF, BagError, typestore
from kdmos_ros.io.bag_messages import header, odometry_message, transform_message
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter

POSE = "geometry_msgs/msg/PoseStamped"
N = 3


def pose_message(i, frame="world"):
    types = typestore().types
    x, y, z = map(float, pose(i)[:3, 3])
    q = map(float, matrix_to_quaternion(pose(i)[:3, :3]))
    position = types["geometry_msgs/msg/Point"](x, y, z)
    orientation = types["geometry_msgs/msg/Quaternion"](*q)
    return types[POSE](
        header(stamp(i), frame), types["geometry_msgs/msg/Pose"](position, orientation)
    )


def links(fixed, *chains):
    """/tf that moves `base_link` in a fixed frame; further frames hang below it."""
    rows = []
    for i in range(N):
        rows.append((stamp(i), transform_message(stamp(i), fixed, "base_link", pose(i))))
        for parent, child in chains:
            rows.append((stamp(i), transform_message(stamp(i), parent, child, np.eye(4))))
    return {"/tf": (TF, rows)}


def poses_on(topic, count=N):
    return {topic: (POSE, [(stamp(i), pose_message(i)) for i in range(count)])}


def odometry_on(topic, count=N):
    rows = [odometry_message(stamp(i), "odom", "base_link", pose(i)) for i in range(count)]
    return {topic: (ODOMETRY, [(stamp(i), row) for i, row in enumerate(rows)])}


def bag_with(path, *more, mount=True):
    topics = drive_topics(N)
    del topics["/odom"]
    if not mount:
        del topics["/tf_static"]
    for topic in more:
        topics.update(topic)
    return write_bag(path, topics)


def chosen(path, source="auto", **options):
    with BagReader(path, pose_source=source, **options) as bag:
        return bag.pose_source, bag.odom_topic or bag.fixed_frame, bag.notes


@pytest.mark.parametrize(
    ("more", "source", "which", "said"),
    [
        ([odometry_on("/wheels")], "odometry", "/wheels", ""),
        ([odometry_on("/odom"), odometry_on("/gps")], "odometry", "/odom", "from /odom;.*/gps"),
        ([odometry_on("/wheels"), links("odom"), poses_on("/pose")], "odometry", "/wheels", ""),
        ([links("odom"), poses_on("/pose")], "tf", "odom", "taken from /tf, odom -> lidar"),
        ([links("odom", ("map", "odom"))], "tf", "odom", "odom -> lidar"),
        ([links("camera_init")], "tf", "camera_init", "camera_init -> lidar"),
        ([poses_on("/vrpn_mocap/robot/pose")], "odometry", "/vrpn_mocap/robot/pose", "from /vrpn"),
        ([poses_on("/goal_pose", 1)], "kiss_icp", "", "KISS-ICP makes poses from the clouds"),
        ([odometry_on("/odom", 0)], "kiss_icp", "", "no odometry topic"),
        ([links("base_footprint", ("base_link", "wheel"))], "kiss_icp", "", "nothing on /tf"),
    ],
)  # fmt: skip
def test_left_open(tmp_path, more, source, which, said):
    if source == "kiss_icp":
        pytest.importorskip("kiss_icp", reason="kiss-icp is not installed")
    found = chosen(bag_with(tmp_path / "bag", *more))
    assert found[:2] == (source, which)
    if said:
        (note,) = found[2]
        assert re.search(said, note)
    else:
        assert found[2] == []


def test_several_topics_with_poses_are_not_guessed_at(tmp_path):
    path = bag_with(tmp_path / "bag", poses_on("/robot/pose"), poses_on("/person/pose"))
    with pytest.raises(BagError, match=r"choose one with --odom \(/robot/pose .*/person/pose"):
        chosen(path)


def test_without_kiss_icp_one_line_says_what_helps(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kiss_icp.kiss_icp", None)
    path = bag_with(tmp_path / "bag")
    with pytest.raises(BagError, match=r"pip install kiss-icp.*--odom \(besides.*/tf_static"):
        chosen(path)


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("auto", {"odom_topic": "/nowhere"}, "no topic /nowhere"),
        ("auto", {"odom_topic": "/points"}, "is sensor_msgs/msg/PointCloud2"),
        ("odometry", {}, "no nav_msgs/msg/Odometry topic"),
    ],
)
def test_what_the_user_chose_is_used_or_an_error(tmp_path, source, options, said):
    path = bag_with(tmp_path / "bag", links("odom"))
    with pytest.raises(KdmosError, match=said):
        chosen(path, source, **options)


def test_a_frame_that_the_user_named_is_not_replaced(tmp_path):
    pytest.importorskip("kiss_icp", reason="kiss-icp is not installed")
    path = bag_with(tmp_path / "bag", links("camera_init"))
    assert chosen(path, fixed_frame="world")[0] == "kiss_icp"
    with pytest.raises(BagError, match=r"no world on /tf.*--fixed-frame camera_init"):
        chosen(path, "tf", fixed_frame="world")
    assert chosen(path, "tf", fixed_frame="camera_init")[:2] == ("tf", "camera_init")
    base = chosen(path, base_T_sensor=np.eye(4))
    assert base[:2] == ("tf", "camera_init") and "camera_init -> base_link" in base[2][0]


@pytest.mark.parametrize("frame", ["map", "odom", "camera_init"])
def test_clouds_in_a_fixed_frame_are_named(tmp_path, frame):
    topics = drive_topics(N)
    del topics["/odom"], topics["/tf_static"]
    for _, cloud in topics["/points"][1]:
        cloud.header.frame_id = frame
    topics.update(links("odom", ("map", "odom")))
    with pytest.raises(BagError, match=f"fixed frame, {frame}.*registered already"):
        chosen(write_bag(tmp_path / "bag", topics))


def test_broken_transforms_are_counted_and_named(tmp_path):
    moving = links("odom")
    moving["/tf"][1][1][1].transforms[0].transform.rotation.w = 0.0
    static = transform_message(
        START_NS, "base_link", "imu", make_transform(np.eye(3), [0, 0, np.nan])
    )
    topics = {**moving, "/tf_static": (TF, [*drive_topics(N)["/tf_static"][1], (START_NS, static)])}
    path = bag_with(tmp_path / "bag", topics)
    with BagReader(path, pose_source="tf") as bag:
        notes = bag.notes
        labelled = [s.dropped for s in replay(bag, OnlineSegmenter(Recorder()), poses=_tf(bag))]
    assert labelled == [""] * N
    assert any("1 broken pose of /tf (odom -> base_link) ignored" in note for note in notes)
    assert any("1 broken pose of /tf_static (base_link -> imu) ignored" in note for note in notes)


def _tf(bag):
    from kdmos_ros.io.recorded_tf import RecordedTf

    return RecordedTf(bag.read_transforms(), bag.base_frame, bag.fixed_frame)


def test_without_a_mount_the_clouds_are_labelled(tmp_path):
    topics = links("odom", ("odom", "lidar"))
    path = bag_with(tmp_path / "bag", topics, mount=False)
    with BagReader(path, pose_source="tf") as bag:
        recorder = Recorder()
        dropped = [s.dropped for s in replay(bag, OnlineSegmenter(recorder), poses=_tf(bag))]
    assert dropped == [""] * N
