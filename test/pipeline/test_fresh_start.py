"""After bag loops, time jumps, restarts and resets, labels are those of a node just started."""

import numpy as np
import pytest
from cloud_harness import make_cloud

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.geometry.transforms import from_pose, make_transform
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.extrinsics import FixedExtrinsics
from kdmos_ros.poses.pose_source import BufferedPoses
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter
from kdmos_ros.throttled_log import ThrottledLog

pytest.importorskip("torch", reason="a tiny model is exported with torch")

SECOND = 1_000_000_000
STEP = SECOND * 2 // 5  # so that a drive is longer than what counts as late messages
START = 1_700_000_000 * SECOND
N_SCANS = 6
FURTHER = 0.8 * N_SCANS  # where the next drive starts without a jump, metres
MOUNT = from_pose([0.5, 0, 1.7], [0, 0, 0.02, 1])


class Silent:
    def warning(self, text):
        pass

    error = warning


def drive(seed):
    """Age, pose and cloud of each scan of a short drive."""
    rng = np.random.default_rng(seed)
    near = {"x": (-30, 30), "y": (-30, 30), "z": (-1.7, 1)}
    for i in range(N_SCANS):
        values = {axis: rng.uniform(*limits, 4000) for axis, limits in near.items()}
        cloud, _ = make_cloud("kitti", 4000, values={**values, "intensity": rng.random(4000)})
        yield i * STEP, make_transform(np.eye(3), [0.8 * i, 0, 0]), cloud


class Robot:
    """A pipeline with a real, if tiny, model."""

    def __init__(self, model):
        self.poses = PoseBuffer(max_jump_m=1.0)
        self.statistics = Statistics()
        options = {"pose_timeout": 0.0, **CLOUD_OPTIONS}
        self.pipeline = CloudPipeline(
            OnlineSegmenter(Segmenter(model, provider="cpu", num_threads=2)),
            BufferedPoses(self.poses, "base_link"), FixedExtrinsics(MOUNT), options,
            self.statistics, ThrottledLog(Silent()),
        )  # fmt: skip

    def run(self, seed, start, offset=0.0, odometry_first=True):
        """Labels and probabilities of a drive that starts at a stamp and place."""
        results = []
        for age, pose, cloud in drive(seed):
            pose = make_transform(np.eye(3), [offset, 0, 0]) @ pose
            if odometry_first:
                self.poses.add(start + age, pose)
            try:
                result = self.pipeline.process(cloud, start + age, "lidar").labelled()
            except DroppedScan:
                self.poses.add(start + age, pose)
                result = self.pipeline.process(cloud, start + age, "lidar").labelled()
            results.append((result.labels, result.moving_probability))
        return results


def assert_same(found, expected):
    for (labels, probability), (wanted, wanted_probability) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(labels, wanted)
        np.testing.assert_array_equal(probability, wanted_probability)


def test_the_history_matters_without_a_reset(tiny_model):
    """Else the tests below would prove nothing."""
    used, fresh = Robot(tiny_model), Robot(tiny_model)
    used.run(1, START)
    found = used.run(2, START + N_SCANS * STEP, FURTHER)
    expected = fresh.run(2, START + N_SCANS * STEP, FURTHER)
    assert not np.array_equal(found[0][1], expected[0][1])


@pytest.mark.parametrize(
    ("start", "offset", "odometry_first"),
    [
        pytest.param(START - 3600 * SECOND, 0.0, True, id="time_goes_back"),
        pytest.param(START - 3600 * SECOND, 0.0, False, id="time_goes_back_clouds_first"),
        pytest.param(START + 60 * SECOND, 0.0, True, id="sensor_was_off"),
        pytest.param(17 * SECOND, 0.0, True, id="sensor_counts_from_its_start"),
        pytest.param(START + N_SCANS * STEP, 50.0, True, id="relocalised"),
    ],
)
def test_disturbances_leave_nothing_behind(tiny_model, start, offset, odometry_first):
    used, fresh = Robot(tiny_model), Robot(tiny_model)
    used.run(1, START)
    found = used.run(2, start, offset, odometry_first)
    assert used.statistics.snapshot().events["reset"] == 1
    assert_same(found, fresh.run(2, start, offset))


def test_every_round_of_a_looping_bag_is_the_same(tiny_model):
    robot = Robot(tiny_model)
    first, *others = [robot.run(1, START) for _ in range(3)]
    for results in others:
        assert_same(results, first)


def test_a_jump_of_simulated_time_or_a_reset_by_hand(tiny_model):
    used, fresh = Robot(tiny_model), Robot(tiny_model)
    used.run(1, START)
    used.pipeline.request_reset()  # what the node's jump callback and ~/reset call
    start = START + N_SCANS * STEP
    assert_same(used.run(2, start, FURTHER), fresh.run(2, start, FURTHER))


def test_another_model_starts_as_if_it_had_always_been_there(tiny_model, other_tiny_model):
    used, fresh = Robot(tiny_model), Robot(other_tiny_model)
    used.run(1, START)
    used.pipeline.replace(
        OnlineSegmenter(Segmenter(other_tiny_model, provider="cpu", num_threads=2))
    )
    start = START + N_SCANS * STEP
    assert_same(used.run(2, start, FURTHER), fresh.run(2, start, FURTHER))
