"""Labels that are promised until later scans have come: order, resets and errors."""

import numpy as np
import pytest
from lookahead_harness import Fails, stream

from kdmos_ros.segmentation.deferred_labels import Promised
from kdmos_ros.segmentation.lookahead import Lookahead
from kdmos_ros.segmentation.segmenter import Segmenter


@pytest.fixture
def model(lookahead_model):
    return lookahead_model


def test_promises_are_kept_in_order(model):
    """Items without a push, and a reset in the middle, which ends the wait of those before it."""
    scans = stream(8)
    promised = Promised(Lookahead(Segmenter(model, num_threads=1), 2))

    def items():
        for i, each in enumerate(scans):
            if i == 4:
                promised.reset()
            if i == 2:
                yield "dropped", None
            yield i, promised.push(each)

    out = list(promised.finished(items()))
    assert [name for name, _ in out] == [0, 1, "dropped", 2, 3, 4, 5, 6, 7]
    direct = Segmenter(model, num_threads=1)
    for name, answer in out:
        if name == "dropped":
            continue
        if name == 4:
            direct.reset()
        last = 4 if name < 4 else 8
        ahead = [direct.as_later(s) for s in scans[name + 1 : min(name + 3, last)]]
        expected = direct.push(scans[name], ahead)
        np.testing.assert_array_equal(answer.labels, expected.labels)
        assert answer.stamp_ns == scans[name].stamp_ns


def test_an_error_breaks_the_promises_of_all_that_wait(model):
    scans = stream(9)
    promised = Promised(Lookahead(Fails(model, num_threads=1), 2))
    promises = [promised.push(each) for each in scans[:4]]
    with pytest.raises(RuntimeError, match="out of memory"):
        promised.push(scans[4])
    assert [p.done.done() for p in promises] == [True] * 4
    for broken in promises[2:]:
        with pytest.raises(RuntimeError, match="out of memory"):
            broken.done.result()
    after = [promised.push(each) for each in scans[5:]]
    promised.flush()
    fresh = Lookahead(Segmenter(model, num_threads=1), 2)
    expected = [a for a in [fresh.push(each) for each in scans[5:]] if a] + fresh.flush()
    for found, answer in zip(after, expected, strict=True):
        found.done.result()
        np.testing.assert_array_equal(found.moving_probability, answer.moving_probability)


def test_an_error_at_the_end_is_not_taken_for_labels(model):
    promised = Promised(Lookahead(Fails(model, num_threads=1), 2))
    items = ((i, promised.push(each)) for i, each in enumerate(stream(4)))
    seen = []
    with pytest.raises(RuntimeError, match="out of memory"):
        for i, _ in promised.finished(items):
            seen.append(i)
    assert seen == [0, 1]


def test_nothing_is_computed_for_nobody(model):
    segmenter = Segmenter(model, num_threads=1)
    promised = Promised(Lookahead(segmenter, 3))
    promises = [promised.push(each) for each in stream(3)]
    for promise in promises:
        promise.done.cancel()
    segmenter.push = None
    promised.reset()
    assert not any(promise.labels.any() for promise in promises)


@pytest.mark.parametrize("workers", [1, 2])
def test_several_at_a_time_give_the_same(model, workers):
    """With a scan that is dropped, and a reset in the middle."""
    from kdmos_ros.labelling.overlapped import Overlapped
    from kdmos_ros.pipeline.replay import ReplayedScan

    def replayed(user):
        for i, each in enumerate(stream(12)):
            if i == 6:
                user.reset()
            if i in (0, 3, 4, 5):
                yield ReplayedScan(i, 0, 0, dropped="pose_gap")
                continue
            answer = user.push(each)
            yield ReplayedScan(i, 0, 0, labels=answer.labels,
                               moving_probability=answer.moving_probability)  # fmt: skip

    promised = Promised(Lookahead(Segmenter(model, num_threads=1), 3))
    expected = list(promised.finished(replayed(promised)))
    with Overlapped([Segmenter(model, num_threads=1) for _ in range(workers)], 3) as overlapped:
        found = list(overlapped.finished(replayed(overlapped)))
    assert [scan.index for scan in found] == list(range(12))
    for one, other in zip(found, expected, strict=True):
        assert one.dropped == other.dropped
        if not one.dropped:
            np.testing.assert_array_equal(one.moving_probability, other.moving_probability)
