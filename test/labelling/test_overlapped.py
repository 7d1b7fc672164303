"""Several scans at a time: order, labels and failures are those of one after the other."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.labelling.overlapped import Overlapped
from kdmos_ros.pipeline.replay import ReplayedScan
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Question, Segmentation, Segmenter

N = 12


class SlowNetworks:
    """Answers with the scan's number; even scans take longer than odd ones."""

    in_work = most = asked = 0
    lock = threading.Lock()

    def __init__(self, fails_at=None):
        self._fails_at = fails_at

    def reset(self):
        pass

    def ask(self, scan, later=(), view=None):
        type(self).asked += 1
        return Question(SimpleNamespace(n_points=len(scan.points)), scan.stamp_ns, {})

    def answer(self, question):
        with self.lock:
            SlowNetworks.in_work += 1
            SlowNetworks.most = max(SlowNetworks.most, SlowNetworks.in_work)
        time.sleep(0.01 if question.stamp_ns % 2 else 0.03)
        with self.lock:
            SlowNetworks.in_work -= 1
        if question.stamp_ns == self._fails_at:
            raise RuntimeError("out of memory")
        n = question.frame.n_points
        number = question.stamp_ns
        return Segmentation(
            np.full(n, number, np.uint8), np.full(n, number, np.float32), number, {}
        )


@pytest.fixture(autouse=True)
def fresh():
    SlowNetworks.in_work = SlowNetworks.most = SlowNetworks.asked = 0


def replayed(overlapped, dropped=()):
    for i in range(N):
        if i in dropped:
            yield ReplayedScan(i, i, 3, dropped="pose_gap")
            continue
        result = overlapped.push(Scan(np.ones((3, 3), np.float32), None, i, np.eye(4)))
        yield ReplayedScan(
            i, i, 3, labels=result.labels, moving_probability=result.moving_probability
        )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_each_scan_comes_in_order_with_its_own_labels(n):
    with Overlapped([SlowNetworks() for _ in range(n)]) as overlapped:
        for i, scan in enumerate(overlapped.finished(replayed(overlapped, dropped=(0, 4, 5)))):
            assert scan.index == i
            if scan.labels is not None:
                assert (scan.labels == i).all() and (scan.moving_probability == i).all()
            assert SlowNetworks.asked <= i + n + 2, "the replay runs away"
    assert i == N - 1
    assert SlowNetworks.most == n, "so many at a time"


def test_what_goes_wrong_in_a_thread_is_raised_at_its_scan():
    seen = []
    with (
        Overlapped([SlowNetworks(fails_at=5), SlowNetworks(fails_at=5)]) as overlapped,
        pytest.raises(RuntimeError, match="out of memory"),
    ):
        for scan in overlapped.finished(replayed(overlapped)):
            seen.append(scan.index)
    assert seen == [0, 1, 2, 3, 4]


def test_features_that_fail_do_not_use_up_the_room():
    class Refuses(SlowNetworks):
        def ask(self, scan, later=(), view=None):
            raise ValueError("not newer")

    with Overlapped([Refuses()]) as overlapped:
        for _ in range(5):
            with pytest.raises(ValueError, match="not newer"):
                overlapped.push(Scan(np.ones((3, 3), np.float32), None, 0, np.eye(4)))


def test_labels_are_those_of_one_segmenter_alone(tiny_model):
    rng = np.random.default_rng(5)
    scans = [
        Scan(
            (rng.uniform(-1, 1, (4000 + i, 3)) * [30, 30, 1.7]).astype(np.float32),
            None,
            100_000_000 * i,
            from_pose([0.3 * i, 0, 0], [0, 0, 0, 1]),
        )
        for i in range(8)
    ]
    alone = Segmenter(tiny_model, num_threads=1)
    expected = [alone.push(scan) for scan in scans]

    def replay(overlapped):
        for i, scan in enumerate(scans):
            result = overlapped.push(scan)
            yield ReplayedScan(
                i, i, 0, labels=result.labels, moving_probability=result.moving_probability
            )

    with Overlapped([Segmenter(tiny_model, num_threads=1) for _ in range(2)]) as overlapped:
        found = list(overlapped.finished(replay(overlapped)))
    assert len({int(s.labels.sum()) for s in found}) > 1, "scans differ"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.moving_probability, other.moving_probability)
