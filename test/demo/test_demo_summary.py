"""What the demo says of a recording of its node."""

import json

import numpy as np
import pytest
from drive_harness import cloud, odometry, points, stamp

pytest.importorskip("rosbags", reason="rosbags is not installed")

from kdmos_ros.demo.summary import labelled_clouds, summarise
from kdmos_ros.io.bag_file import DIAGNOSTICS, POINT_CLOUD, typestore
from kdmos_ros.io.bag_messages import header
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.labels import MOVING, STATIC
from kdmos_ros.pointcloud.codec import append_label

TOPIC, STATUS = "/mos_node/labeled", "/diagnostics"


def labelled(index: int):
    """A labelled cloud as the node publishes it: what is in front moves."""
    message = cloud(index)
    moving = points(index)[:, 0] > 0
    packed = append_label(
        message, np.where(moving, MOVING, STATIC).astype(np.uint8), moving.astype(np.float32)
    )
    types = typestore().types
    return types[POINT_CLOUD](
        message.header,
        packed.height,
        packed.width,
        [
            types["sensor_msgs/msg/PointField"](f.name, f.offset, f.datatype, f.count)
            for f in packed.fields
        ],
        packed.is_bigendian,
        packed.point_step,
        packed.row_step,
        packed.data,
        packed.is_dense,
    )


def diagnostics(**values):
    types = typestore().types
    pairs = [
        types["diagnostic_msgs/msg/KeyValue"](key.replace("__", "."), str(value))
        for key, value in values.items()
    ]
    status = types["diagnostic_msgs/msg/DiagnosticStatus"](0, "mos_node", "fine", "", pairs)
    return types[DIAGNOSTICS](header(0, ""), [status])


FINAL = {
    "received": 4,
    "labelled": 3,
    "model": "m",
    "provider": "CPU",
    "dropped": 1,
    "dropped__pose_timeout": 1,
    "latency_ms__bev__p50": 12.5,
    "latency_ms__bev__p90": 20.0,
}


@pytest.fixture
def recording(tmp_path):
    with BagWriter(tmp_path / "recording") as bag:
        bag.add_topic(TOPIC, POINT_CLOUD)
        bag.add_topic(STATUS, DIAGNOSTICS)
        early = {**FINAL, "received": 1, "labelled": 0}
        bag.write(STATUS, 500, diagnostics(**early))
        for i in range(3):
            bag.write(TOPIC, 1_000_000_000 * (i + 1), labelled(i))
        bag.write(STATUS, 4_000_000_000, diagnostics(**FINAL))
        bag.write(STATUS, 4_000_000_001, diagnostics(cpu="of another node"))
    return tmp_path / "recording"


class UpperHalfMoves:
    def read(self, index, stamp_ns, n_points):
        assert stamp_ns == stamp(index) and n_points == 50
        return np.where(points(index)[:, 2] > 0, 251, 9).astype(np.uint32)


def test_summary_is_what_was_recorded(recording):
    sent = {stamp(i): 1_000_000_000 * (i + 1) - 40_000_000 for i in range(4)}
    index_of = {stamp(i): i for i in range(4)}
    summary = summarise(recording, TOPIC, STATUS, sent, UpperHalfMoves(), index_of)
    assert (summary.played, summary.received, summary.labelled, summary.recorded) == (4, 4, 3, 3)
    assert summary.dropped == {"pose_timeout": 1}
    assert summary.latency_ms == {"bev": (12.5, 20.0)}
    assert summary.answer_ms["p50"] == pytest.approx(40.0)
    xyz = np.concatenate([points(i) for i in range(3)])
    called, moves = xyz[:, 0] > 0, xyz[:, 2] > 0
    expected = (called & moves).sum() / (called | moves).sum()
    assert summary.confusion.iou == pytest.approx(expected)
    text = summary.to_text()
    assert f"{expected:.3f}" in text and "dropped: pose_timeout" in text and "bev" in text
    assert json.loads(json.dumps(summary.to_dict()))["iou_moving"] == pytest.approx(expected)


def test_summary_without_labels(recording):
    summary = summarise(recording, TOPIC, STATUS, {}, None, {})
    assert summary.confusion is None and summary.to_dict()["iou_moving"] is None
    assert "IoU" not in summary.to_text()


def test_recorded_labels_come_back(recording):
    for i, (when, xyz, labels) in enumerate(labelled_clouds(recording, TOPIC)):
        assert when == stamp(i)
        np.testing.assert_array_equal(xyz, points(i))
        np.testing.assert_array_equal(labels == MOVING, points(i)[:, 0] > 0)


def test_stamp_of_serialised_messages():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from kdmos_ros.io.bag_messages import header_stamp

    data = typestore().serialize_cdr(odometry(7), "nav_msgs/msg/Odometry")
    assert header_stamp(data) == stamp(7)
    assert (
        header_stamp(b"\0\0\0\0" + (5).to_bytes(4, "big") + (6).to_bytes(4, "big")) == 5 * 10**9 + 6
    )
