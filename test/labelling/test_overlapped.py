"""Several scans at a time: order, labels and failures are those of one after the other."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.labelling.overlapped import Overlapped
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.scan_segmenter import finished
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


def pushed(overlapped, dropped=()):
    for i in range(N):
        scan = Scan(np.ones((3, 3), np.float32), None, i, np.eye(4))
        yield i, None if i in dropped else overlapped.push(scan)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_each_scan_comes_in_order_with_its_own_labels(n):
    with Overlapped([SlowNetworks() for _ in range(n)]) as overlapped:
        out = finished(pushed(overlapped, dropped=(0, 4, 5)), overlapped)
        for i, (index, answer) in enumerate(out):
            assert index == i
            if answer is not None:
                assert (answer.labels == i).all() and (answer.moving_probability == i).all()
            assert SlowNetworks.asked <= i + n + 2, "the replay runs away"
    assert i == N - 1
    assert SlowNetworks.most == n, "so many at a time"


def test_what_goes_wrong_in_a_thread_is_raised_at_its_scan():
    seen = []
    with (
        Overlapped([SlowNetworks(fails_at=5), SlowNetworks(fails_at=5)]) as overlapped,
        pytest.raises(RuntimeError, match="out of memory"),
    ):
        for index, _ in finished(pushed(overlapped), overlapped):
            seen.append(index)
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

    with Overlapped([Segmenter(tiny_model, num_threads=1) for _ in range(2)]) as overlapped:
        pushed = ((i, overlapped.push(scan)) for i, scan in enumerate(scans))
        found = [answer for _, answer in finished(pushed, overlapped)]
    assert len({int(s.labels.sum()) for s in found}) > 1, "scans differ"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.moving_probability, other.moving_probability)


def test_nobody_waits_for_ever():
    scan = [Scan(np.ones((3, 3), np.float32), None, i, np.eye(4)) for i in range(9)]
    with Overlapped([SlowNetworks()]) as overlapped:
        futures = [overlapped.push(each) for each in scan[:8]]
        cancelled = [future for future in futures if future.cancel()]
        for future in futures:
            assert future in cancelled or future.result(30).stamp_ns >= 0
    late = overlapped.push(scan[8])
    with pytest.raises(RuntimeError, match="shutdown"):
        late.result(30)
