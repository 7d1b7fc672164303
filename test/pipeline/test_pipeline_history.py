"""What makes the pipeline start afresh."""

import threading

import numpy as np
from pipeline_harness import MOUNT, Bench, Recorder

from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter


def test_time_far_back_starts_afresh():
    bench = Bench()
    bench.odometry(100.0, 100.1)
    bench.process(100.1)
    assert bench.reason(10.0) == "pose_timeout"  # poses of the old time are of no use
    assert len(bench.poses) == 0
    bench.odometry(10.0, 10.1)
    bench.process(10.1)
    assert bench.segmenter.calls == ["push", "reset", "push"]


def test_poses_of_the_new_time_survive_if_they_came_first():
    bench = Bench()
    bench.odometry(100.0, 100.1)
    bench.process(100.1)
    bench.odometry(10.0)
    bench.process(10.0)
    assert bench.segmenter.calls == ["push", "reset", "push"]


def test_long_silence_starts_afresh():
    bench = Bench()
    bench.odometry(1.0)
    bench.process(1.0)
    bench.odometry(20.0)
    bench.process(20.0)
    assert bench.segmenter.calls == ["push", "reset", "push"]


def test_jump_of_the_odometry_starts_afresh():
    bench = Bench()
    bench.odometry(1.0, 1.1, 1.2)
    bench.process(1.1)
    bench.process(1.2)
    bench.odometry(1.3, 1.4, offset=7.0)
    bench.process(1.35)
    assert bench.segmenter.calls == ["push", "push", "reset", "push"]
    assert "jumped" in bench.logger.lines[0]


def test_reset_on_request():
    bench = Bench()
    bench.odometry(1.0, 1.1)
    bench.process(1.1)
    bench.pipeline.request_reset()
    bench.process(1.0)  # even an older scan: there is no history to be older than
    assert bench.segmenter.calls == ["push", "reset", "push"]
    assert bench.statistics.snapshot().events == {"reset": 1}


def test_another_segmenter_takes_over_from_an_empty_history():
    bench = Bench()
    bench.odometry(1.0, 1.1)
    first = bench.process(1.0)
    other = Recorder()
    bench.pipeline.replace(OnlineSegmenter(other))
    second = bench.process(1.1)
    assert bench.segmenter.calls == ["push"]
    assert other.calls == ["reset", "push"]
    np.testing.assert_array_equal(other.mount, MOUNT)
    assert second.epoch != first.epoch
    assert second.scan is other.scans[0]


def test_another_segmenter_waits_for_the_scan_in_work():
    bench = Bench(pose_timeout=60.0)
    done = []
    scan = threading.Thread(target=lambda: done.append(bench.process(1.0)))
    scan.start()
    change = threading.Thread(target=bench.pipeline.replace, args=(OnlineSegmenter(Recorder()),))
    while not bench.pipeline._busy.locked():
        pass
    change.start()
    assert bench.segmenter.calls == []
    bench.odometry(1.0)
    scan.join()
    change.join()
    assert len(done) == 1
    assert bench.segmenter.calls == ["push"]
