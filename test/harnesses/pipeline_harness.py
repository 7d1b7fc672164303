"""The pipeline of one cloud with a stand-in for the segmenter that notes what it is asked."""

import numpy as np
import pytest
from cloud_harness import make_cloud
from logger_harness import Logger

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.errors import CloudError
from kdmos_ros.geometry.transforms import from_pose, make_transform
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.extrinsics import ExtrinsicError, FixedExtrinsics
from kdmos_ros.poses.pose_source import BufferedPoses
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmentation
from kdmos_ros.throttled_log import ThrottledLog

SECOND = 1_000_000_000
MOUNT = from_pose([0.5, 0, 1.7], [0, 0, 0.1, 1])


class Recorder:
    """Stands in for the segmenter and notes what it is asked."""

    def __init__(self):
        self.calls = []
        self.scans = []

    @property
    def mount(self):
        """That of the newest scan."""
        return self.scans[-1].base_T_sensor

    def push(self, scan):
        self.calls.append("push")
        self.scans.append(scan)
        n = len(scan.points)
        return Segmentation(np.full(n, 3, np.uint8), np.ones(n, np.float32), scan.stamp_ns, {})

    def reset(self):
        self.calls.append("reset")


class Bench:
    def __init__(self, extrinsics=None, **options):
        self.options = {
            "pose_timeout": 0.0, **CLOUD_OPTIONS, "max_points": 1000, "deskew": False, **options
        }  # fmt: skip
        self.segmenter, self.poses = Recorder(), PoseBuffer(max_jump_m=1.0)
        self.source = BufferedPoses(self.poses, "base_link")
        self.statistics, self.logger = Statistics(), Logger()
        self.pipeline = CloudPipeline(
            OnlineSegmenter(self.segmenter), self.source,
            extrinsics or FixedExtrinsics(MOUNT), self.options,
            self.statistics, ThrottledLog(self.logger, 0),
        )  # fmt: skip

    def odometry(self, *stamps_s, offset=0.0):
        for stamp in stamps_s:
            self.poses.add(round(stamp * SECOND), make_transform(np.eye(3), [stamp + offset, 0, 0]))

    def process(self, stamp_s, message=None, frame="lidar"):
        message = message or make_cloud("plain_xyz")[0]
        return self.pipeline.process(message, round(stamp_s * SECOND), frame).labelled()

    def reason(self, stamp_s, message=None, frame="lidar"):
        with pytest.raises((DroppedScan, CloudError, ExtrinsicError)) as caught:
            self.process(stamp_s, message, frame)
        return caught.value.reason
