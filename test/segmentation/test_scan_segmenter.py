"""Labels that come when later scans have: order, resets and errors."""

import numpy as np
import pytest
from lookahead_harness import Fails, stream

from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.scan_segmenter import finished
from kdmos_ros.segmentation.segmenter import Segmenter


@pytest.fixture
def model(lookahead_model):
    return lookahead_model


def test_labels_come_in_order(model):
    """Items without a push, and a reset in the middle, which ends the wait of those before it."""
    scans = stream(8)
    online = OnlineSegmenter(Segmenter(model, num_threads=1), 2)

    def items():
        for i, each in enumerate(scans):
            if i == 4:
                online.reset()
            if i == 2:
                yield "dropped", None
            yield i, online.push(each)

    out = list(finished(items(), online))
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


def test_an_error_breaks_the_futures_of_all_that_wait(model):
    scans = stream(9)
    online = OnlineSegmenter(Fails(model, num_threads=1), 2)
    futures = [online.push(each) for each in scans[:4]]
    with pytest.raises(RuntimeError, match="out of memory"):
        online.push(scans[4])
    assert [p.done() for p in futures] == [True] * 4
    for broken in futures[2:]:
        with pytest.raises(RuntimeError, match="out of memory"):
            broken.result(0)
    after = [online.push(each) for each in scans[5:]]
    online.flush()
    fresh = OnlineSegmenter(Segmenter(model, num_threads=1), 2)
    expected = [fresh.push(each) for each in scans[5:]]
    fresh.flush()
    for found, answer in zip(after, expected, strict=True):
        np.testing.assert_array_equal(
            found.result(0).moving_probability, answer.result(0).moving_probability
        )


def test_without_a_lookahead_an_error_costs_one_scan(model):
    """Those before it stay known, as the node needs it."""
    scans = stream(6)
    online, direct = OnlineSegmenter(Fails(model, num_threads=1)), Fails(model, num_threads=1)
    for each in scans:
        results = []
        for segmenter in (online, direct):
            try:
                results.append(segmenter.push(each))
            except RuntimeError as error:
                results.append(str(error))
        found, expected = results
        if isinstance(expected, str):
            assert found == expected
            continue
        np.testing.assert_array_equal(
            found.result(0).moving_probability, expected.moving_probability
        )


def test_an_error_at_the_end_is_not_taken_for_labels(model):
    online = OnlineSegmenter(Fails(model, num_threads=1), 2)
    items = ((i, online.push(each)) for i, each in enumerate(stream(4)))
    seen = []
    with pytest.raises(RuntimeError, match="out of memory"):
        for i, _ in finished(items, online):
            seen.append(i)
    assert seen == [0, 1]


def test_nothing_is_computed_for_nobody(model):
    segmenter = Segmenter(model, num_threads=1)
    online = OnlineSegmenter(segmenter, 3)
    futures = [online.push(each) for each in stream(3)]
    for future in futures:
        assert future.cancel()
    segmenter.push = None
    online.reset()
    assert all(future.cancelled() for future in futures)


@pytest.mark.parametrize("workers", [1, 2])
def test_several_at_a_time_give_the_same(model, workers):
    """With a scan that is dropped, and a reset in the middle."""
    from kdmos_ros.labelling.overlapped import Overlapped

    def pushed(user):
        for i, each in enumerate(stream(12)):
            if i == 6:
                user.reset()
            yield i, None if i in (0, 3, 4, 5) else user.push(each)

    online = OnlineSegmenter(Segmenter(model, num_threads=1), 3)
    expected = list(finished(pushed(online), online))
    with Overlapped([Segmenter(model, num_threads=1) for _ in range(workers)], 3) as overlapped:
        found = list(finished(pushed(overlapped), overlapped))
    assert [i for i, _ in found] == list(range(12))
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.moving_probability, other.moving_probability)
