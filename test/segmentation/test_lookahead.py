"""Labels that wait for later scans."""

import dataclasses

import numpy as np
import pytest
from lookahead_harness import BOTH, GRID, MOUNT, PAST, columns, scan, stream, wall

from kdmos_ros.errors import KdmosError
from kdmos_ros.features import extractor
from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.range_image import build_range_image
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.inference.model import ModelSpec, load_spec
from kdmos_ros.resources import share_dir
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter


@pytest.fixture
def model(lookahead_model):
    return lookahead_model


def test_the_past_looks_the_same_to_both():
    """Without later scans, a model that knows them sees what one that does not would see."""
    plain, knowing = (FeatureExtractor(GRID, spec, MOUNT) for spec in (PAST, BOTH))
    shared = [name in columns(PAST) for name in columns(BOTH)]
    assert sum(shared) == PAST.n_point < BOTH.n_point == len(shared)
    for each in stream(4):
        a, b = plain.push(each), knowing.push(each)
        np.testing.assert_array_equal(a.point, b.point[:, shared])
        assert not b.point[:, ~np.array(shared)].any()
        np.testing.assert_array_equal(a.cell, b.cell)
        assert a.n_past == b.n_past


def test_a_later_scan_sees_through_what_has_left():
    """The near wall stands only now: the later scan's rays pass where it was."""
    extractor = FeatureExtractor(GRID, BOTH, MOUNT)
    now = scan(0, np.concatenate([wall(20.0), wall(8.0, 500, seed=9)]))
    later = extractor.as_later(scan(1, wall(20.0, 40_000, seed=1)))
    frame = extractor.push(now, later=[later])
    far = frame.point[:, columns(BOTH).index("far later 0.2")]
    is_near = np.hypot(*now.points[frame.index, :2].T) < 10
    assert (far[is_near] > 0.9).mean() > 0.8, "seen through later"
    assert (far[~is_near] > 0.9).mean() < 0.02, "the wall stays"
    assert frame.n_past == 1
    other = frame.point[:, columns(BOTH).index("far later 0.4")]
    assert not other.any(), "there is no scan 0.4 s later"


def test_what_comes_later_is_later():
    extractor = FeatureExtractor(GRID, BOTH, MOUNT)
    with pytest.raises(ValueError, match="later scans must be newer"):
        extractor.push(scan(1, wall(20.0)), later=[extractor.as_later(scan(1, wall(20.0)))])


def test_each_scan_is_answered_from_those_after_it(model):
    scans = stream(7)
    for delay in (0, 1, 3):
        waiting = OnlineSegmenter(Segmenter(model, num_threads=1), delay)
        futures = []
        for i, each in enumerate(scans):
            futures.append(waiting.push(each))
            assert [future.done() for future in futures] == [n <= i - delay for n in range(i + 1)]
        waiting.flush()
        answers = [future.result() for future in futures]
        assert [a.stamp_ns for a in answers] == [s.stamp_ns for s in scans]
        direct = Segmenter(model, num_threads=1)
        for i, (one, answer) in enumerate(zip(scans, answers, strict=True)):
            ahead = [direct.as_later(s) for s in scans[i + 1 : i + 1 + delay]]
            expected = direct.push(one, ahead)
            np.testing.assert_array_equal(answer.moving_probability, expected.moving_probability)
            np.testing.assert_array_equal(answer.labels, expected.labels)


def test_each_scan_is_made_a_range_image_once(model, monkeypatch):
    made = []

    def spy(points, pool_rows):
        made.append(len(points))
        return build_range_image(points, pool_rows)

    monkeypatch.setattr(extractor, "build_range_image", spy)
    scans, waiting = stream(5), OnlineSegmenter(Segmenter(model, num_threads=1), 2)
    for each in scans:
        waiting.push(each)
    waiting.flush()
    assert made == [len(each.points) for each in scans]


def test_the_delay_changes_the_answer(model):
    """Else the tests here would compare nothing."""
    scans = stream(3)
    at_once = Segmenter(model).push(scans[0])
    other = Segmenter(model)
    later = other.push(scans[0], [other.as_later(s) for s in scans[1:]])
    assert (at_once.moving_probability != later.moving_probability).any()


def test_reset_forgets_those_that_wait(model):
    scans = stream(6)
    waiting = OnlineSegmenter(Segmenter(model, num_threads=1), 2)
    before = [waiting.push(each) for each in scans[:4]]
    waiting.reset()
    assert all(future.done() for future in before)
    first = waiting.push(scans[0])  # stamps start again, too
    waiting.push(scans[1])
    assert not first.done()
    fresh = OnlineSegmenter(Segmenter(model, num_threads=1), 2)
    expected, *_ = [fresh.push(each) for each in scans[:3]]
    waiting.push(scans[2])
    a, b = first.result(0), expected.result(0)
    np.testing.assert_array_equal(a.moving_probability, b.moving_probability)


def test_stamps_rise(model):
    waiting = OnlineSegmenter(Segmenter(model), 2)
    waiting.push(scan(3, wall(9.0)))
    with pytest.raises(ValueError, match="is not newer"):
        waiting.push(scan(3, wall(9.0)))


def test_the_mount_is_that_of_the_scan(model):
    """A scan that waits is answered with the mount that it came with."""
    scans, high = stream(3), make_transform(np.eye(3), [0, 0, 2.4])
    waiting = OnlineSegmenter(Segmenter(model, num_threads=1), 1)
    first = dataclasses.replace(scans[0], base_T_sensor=MOUNT)
    second = dataclasses.replace(scans[1], base_T_sensor=high)
    future = waiting.push(first)
    waiting.push(second)
    answer = future.result(0)
    as_first, as_second = (Segmenter(model, num_threads=1, mount=m) for m in (MOUNT, high))
    expected = as_first.push(scans[0], [as_second.as_later(scans[1])])
    np.testing.assert_array_equal(answer.moving_probability, expected.moving_probability)


def test_a_model_without_later_scans_refuses(tiny_model):
    segmenter = Segmenter(tiny_model)
    with pytest.raises(KdmosError, match="model tiny was trained without later scans"):
        OnlineSegmenter(segmenter, 1)
    with pytest.raises(ValueError, match=r"lookahead must be 0\.\.7 scans, got 8"):
        OnlineSegmenter(segmenter, 8)
    scans = stream(2)
    at_once = OnlineSegmenter(segmenter, 0)
    expected = [Segmenter(tiny_model).push(s) for s in scans[:1]]
    np.testing.assert_array_equal(at_once.push(scans[0]).result(0).labels, expected[0].labels)


def test_specifications_with_and_without(model):
    assert load_spec(model).features == BOTH
    plain = (share_dir() / "models" / "kdmos_s" / "model.json").read_text()
    assert "future_lags_s" not in plain
    spec = ModelSpec(name="x", features=PAST)
    assert "future_lags_s" not in spec.to_json()
    assert '"future_lags_s"' in dataclasses.replace(spec, features=BOTH).to_json()
    with pytest.raises(ValueError, match="future_lags_s must be positive"):
        VisibilitySpec(future_lags_s=(0.2, -0.2))


def test_a_stream_of_later_scans_goes_on_as_it_would_have(tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    from training_harness import write_drives

    from kdmos_ros.train.config.augment_recipe import AugmentRecipe
    from kdmos_ros.train.data.stream import DriveStream
    from kdmos_ros.train.data.training_samples import StudentReader

    drives = write_drives(tmp_path, n=3, scans=5)

    def batches(start, n, lookahead=True):
        reader = StudentReader(GRID, BOTH)
        stream = iter(
            DriveStream(
                drives, reader, 2, 3, augment=AugmentRecipe(), start=start, mix=4,
                lookahead=lookahead,
            )
        )  # fmt: skip
        return [next(stream) for _ in range(n)]

    whole, rest = batches(0, 6), batches(3, 3)
    for a, b in zip(whole[3:], rest, strict=True):
        assert (a.point == b.point).all() and (a.motion == b.motion).all()
    later = [i for i, name in enumerate(columns(BOTH)) if "later" in name]
    assert any(batch.point[:, later].any() for batch in whole)
    assert not any(batch.point[:, later].any() for batch in batches(0, 6, lookahead=False))
