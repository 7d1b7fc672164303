"""A bag to label whose odometry has gaps, and a stand-in that shows what it knew of the past."""

import os
import signal
from collections import defaultdict

import numpy as np
from drive_harness import MOUNT, cloud, odometry, stamp, write_bag

from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD, BagFile, decode_cdr, typestore
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.labelling import job
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.job import label_bag, unfinished
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmentation

N_SCANS = 60
NO_POSE = {0, 1, *range(36, 45)}
REASONS = {"pose_too_old": 2, "pose_gap": 9}
STRING = "std_msgs/msg/String"


class CountingSegmenter:
    """Labels depend on each point and on how many scans of the last second came before."""

    def __init__(self, stop_at=None):
        self._stamps = []
        self.pushed = 0
        self._stop_at = stop_at

    def reset(self):
        self._stamps.clear()

    def push(self, scan):
        np.testing.assert_allclose(scan.base_T_sensor, MOUNT)
        self.pushed += 1
        if scan.stamp_ns == self._stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        self._stamps.append(scan.stamp_ns)
        known = sum(s > scan.stamp_ns - 10**9 for s in self._stamps)
        labels = expected_labels(scan.points, known)
        probability = np.full(len(labels), known / 16, np.float32)
        return Segmentation(labels, probability, scan.stamp_ns, {"bev": 1.0})


def expected_labels(xyz, known):
    """A class by quadrant, turned with what is known of the past."""
    quadrant = (xyz[:, 0] > 0) + 2 * (xyz[:, 1] > 0)
    return ((quadrant + known) % 4).astype(np.uint8)


def write_interrupted_bag(folder):
    """Clouds, odometry with gaps, and a topic that is nobody's business."""
    chatter = typestore().types[STRING]
    return write_bag(
        folder / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i) + 1000, cloud(i)) for i in range(N_SCANS)]),
            "/odom": (
                ODOMETRY,
                [(stamp(i), odometry(i)) for i in range(N_SCANS) if i not in NO_POSE],
            ),
            "/chatter": (STRING, [(stamp(i) + 7, chatter(f"word {i}")) for i in range(N_SCANS)]),
        },
    )


def label(bag, target, stop_at=None, resume=False, made_by="counting"):
    """Run; `stop_at` is the scan during which SIGTERM comes."""
    segmenter = CountingSegmenter(None if stop_at is None else stamp(stop_at))
    assert unfinished(target, resume)
    with Interrupt() as interrupt, BagReader(bag, base_T_sensor=MOUNT) as reader:
        outcome = label_bag(reader, OnlineSegmenter(segmenter), made_by, target, interrupt, resume)
    return outcome, segmenter


def content(path):
    """{topic: [(time, bytes)]} of a bag."""
    messages = defaultdict(list)
    with BagFile(path) as bag:
        for m in bag.messages():
            messages[m.topic].append((m.stamp_ns, bytes(m.data)))
    return dict(messages)


def decoded(path, topic):
    with BagFile(path) as bag:
        return [decode_cdr(m) for m in bag.messages([topic])]


TARGETS = {
    job.BAG: ("out", content),
    job.WITHOUT_MOVING: ("out", content),
    job.LABEL_FILES: ("labels", lambda p: {f.name: f.read_bytes() for f in p.iterdir()}),
    job.MAP: ("map.pcd", lambda p: p.read_bytes()),
}
