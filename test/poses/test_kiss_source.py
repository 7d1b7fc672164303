"""KISS-ICP as a source of poses, with a stand-in for the library (see test_kiss_library.py)."""

import sys

import numpy as np
import pytest
from cloud_harness import make_cloud
from kiss_harness import STEP, Bench, cloud
from pipeline_harness import Recorder

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.errors import KdmosError
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.poses.extrinsics import FixedExtrinsics
from kdmos_ros.poses.kiss_source import load_kiss_icp
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.throttled_log import ThrottledLog


def test_missing_library_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "kiss_icp.kiss_icp", None)
    monkeypatch.setitem(sys.modules, "kiss_icp.config.parser", None)
    with pytest.raises(KdmosError, match="pip install kiss-icp"):
        load_kiss_icp()


def test_clouds_with_hardly_a_point_are_counted():
    bench = Bench()
    bench.see(0)
    blind = np.full((5000, 3), np.nan, np.float32)
    blind[:100] = cloud(100)
    blind[100:] = 0.1  # on the robot
    assert bench.reason(1, blind) == "too_few_points"
    assert bench.source.figures()["kiss_icp.failed"] == 1
    assert bench.see(2) == (1.0, bench.source.buffer.generation)


def test_a_failure_of_the_library_costs_one_cloud_and_the_history():
    bench = Bench(0.0, 1.0, RuntimeError("no luck"))
    _, generation = bench.see(0), bench.see(1)[1]
    assert bench.reason(2) == "failed"
    assert "no luck" in bench.source.buffer.why
    x, later = bench.see(3)
    assert x == 0.0 and later > generation
    assert bench.source.figures()["kiss_icp.restarts"] == 1


def test_a_pose_that_is_not_finite_is_a_failure():
    bench = Bench(0.0, np.nan)
    bench.see(0)
    assert bench.reason(1) == "failed"


def test_a_step_back_in_time_is_refused_a_large_one_begins_anew():
    bench = Bench()
    bench.see(100)
    generation = bench.see(101)[1]
    assert bench.reason(100.5) == "out_of_order"
    x, later = bench.see(0)
    assert x == 0.0 and later > generation
    assert "went back by 10.1 s" in bench.source.buffer.why


def test_the_same_cloud_again_is_not_registered_again():
    bench = Bench()
    bench.see(0)
    assert bench.see(1) == bench.see(1)
    assert len(bench.library.seen) == 2


def test_a_pause_begins_anew():
    bench = Bench()
    bench.see(0)
    generation = bench.see(1)[1]
    x, later = bench.see(31)
    assert x == 0.0 and later > generation
    assert "no cloud was registered for 3.0 s" in bench.source.buffer.why
    assert bench.logger.lines


def test_a_slip_of_the_registration_begins_anew():
    bench = Bench(0.0, 1.0, 1.0, 1.0, 6.0)
    before = [bench.see(i) for i in range(4)][-1][1]
    x, after = bench.see(4)
    assert x == 0.0 and after > before
    assert "5.0 m off its course" in bench.source.buffer.why
    assert bench.see(5) == (1.0, after)  # not a new generation for each cloud


def test_reset_and_rewind_forget_map_and_poses():
    bench = Bench()
    generations = [bench.see(0)[1]]
    for forget in (bench.source.reset, lambda: bench.source.rewind(0)):
        forget()
        assert len(bench.source.buffer) == 0
        x, generation = bench.see(1)
        assert x == 0.0
        generations.append(generation)
    assert len(set(generations)) == 3


def test_points_without_return_leave_with_their_times():
    points = cloud()
    points[::10] = np.nan
    seconds = np.linspace(-0.1, 0, len(points), dtype=np.float32)
    seconds[3::10] = np.nan
    bench = Bench()
    bench.see(0, points, seconds)
    ((seen, times),) = bench.library.seen
    assert len(seen) == len(times) == 400
    keep = np.isfinite(points).all(axis=1) & np.isfinite(seconds)
    np.testing.assert_array_equal(times, seconds[keep].astype(np.float64))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_times_that_the_library_dies_of_are_kept_from_it(value):
    bench = Bench()
    points = cloud()
    seconds = np.full(len(points), value, np.float32)
    if np.isnan(value):
        assert bench.reason(0, points, seconds) == "too_few_points"
    else:
        bench.see(0, points, seconds)
        assert len(bench.library.seen[0][1]) == 0


@pytest.mark.parametrize(("first", "x"), [(0.0, 1.0), (-0.05, 1.5), (-0.1, 2.0)])
def test_pose_is_that_of_the_stamp_though_the_library_gives_that_of_the_sweeps_end(first, x):
    bench = Bench()
    seconds = np.linspace(first, first + 0.1, 500, dtype=np.float32)
    if first > -0.1:
        assert bench.reason(0, None, seconds) == "too_old"
    else:
        bench.see(0, None, seconds)
    bench.see(1, None, seconds)
    assert bench.see(2, None, seconds)[0] == pytest.approx(x, abs=1e-6)
    start = bench.source.wait(round((2 + 10 * first) * STEP), 0)[0]
    assert start[0, 3] == pytest.approx(1.0, abs=1e-6)
    assert bench.source.buffer.generation == 0


@pytest.mark.parametrize("times", [False, True])
def test_lost_clouds_do_not_disturb_guess_and_deskewing(times):
    bench = Bench(0.0, 1.0, 2.0, 1.0)
    seconds = np.linspace(-0.1, 0, 500, dtype=np.float32) if times else None
    found = [bench.see(step, None, seconds)[0] for step in (0, 1, 3, 4)]
    # Where the library looks for the cloud, and how far it takes the sweep to have gone.
    assert bench.library.guesses == pytest.approx([0, 0, 3, 4])
    assert bench.library.deltas == pytest.approx([0, 0, 1 if times else 2, 1])
    assert found == [0, 1, 3, 4]


def test_memory_is_bounded():
    bench = Bench()
    for step in range(200):
        bench.see(step)
    assert len(bench.source.buffer) == 51


@pytest.mark.parametrize("first", [0.0, -0.1])
def test_pipeline_deskews_by_what_the_registration_says(first):
    """The sensor goes 1 m a sweep; one wall point is seen at each time of the sweep."""
    bench = Bench()
    segmenter = Recorder()
    options = {"pose_timeout": 0.0, **CLOUD_OPTIONS, "deskew": True}
    pipeline = CloudPipeline(
        OnlineSegmenter(segmenter), bench.source, FixedExtrinsics(np.eye(4)), options, Statistics(),
        ThrottledLog(bench.logger, 0),
    )  # fmt: skip
    n = 500
    seconds = np.linspace(first, first + 0.1, n)
    reasons = []
    for step in range(1, 6):
        values = {"x": 30.0 - 10.0 * (seconds - first), "time": seconds}
        values |= {axis: np.full(n, 1.0) for axis in ("y", "z")}
        message, _ = make_cloud("velodyne", n, values=values)
        try:
            pipeline.process(message, step * STEP, "lidar")
        except DroppedScan as error:
            reasons.append(error.reason)
    # The first sweep begins, or ends, where there is no pose yet.
    assert reasons == ["kiss_too_old"]
    assert len(segmenter.scans) == 4
    for scan in segmenter.scans[1:]:
        x = scan.points[:, 0]
        np.testing.assert_allclose(x, 30.0 if first == 0 else 29.0, atol=1e-3)
