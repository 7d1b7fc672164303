"""The method as a whole on a tiny model: shapes, order, causality, and that nothing is guessed."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from kdmos_ros.inference.engine import scatter_max
from kdmos_ros.inference.model import ModelSpec, load_spec, save_spec
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.hysteresis import evidence_of_motion
from kdmos_ros.segmentation.read_out import gather
from kdmos_ros.segmentation.segmenter import STAGES, Segmenter

pytest.importorskip("torch", reason="a tiny model is exported with torch")


def scan(points, stamp_s, pose=None):
    pose = np.eye(4) if pose is None else pose
    return Scan(np.asarray(points, np.float32), None, round(stamp_s * 1e9), pose)


def street(rng, n=5000):
    points = rng.uniform(-40, 40, (n, 3))
    points[:, 2] = rng.uniform(-1.8, 1.0, n)
    return points


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def segmenter(tiny_model):
    return Segmenter(tiny_model, provider="cpu", num_threads=2)


def test_every_point_in_range_gets_a_label_and_no_other(segmenter, rng):
    points = street(rng)
    points[0] = np.nan
    points[1] = 0
    points[2] = [0.5, 0, 0]
    points[3] = [500, 0, 0]
    result = segmenter.push(scan(points, 1))
    assert result.labels.shape == result.moving_probability.shape == (len(points),)
    assert result.labels.dtype == np.uint8 and result.moving_probability.dtype == np.float32
    assert result.labels[:4].tolist() == [UNLABELLED] * 4
    assert not result.moving_probability[:4].any()
    rho = np.hypot(points[:, 0], points[:, 1])
    inside = (rho > 2.01) & (rho < 49.9)
    assert (result.labels[inside] != UNLABELLED).all()
    assert set(result.timings_ms) == set(STAGES)


def test_order_of_points_does_not_matter(segmenter, tiny_model, rng):
    points = street(rng)
    order = rng.permutation(len(points))
    other = Segmenter(tiny_model, provider="cpu")
    before = scan(street(rng), 0.8)
    segmenter.push(before)
    other.push(before)
    a = segmenter.push(scan(points, 1))
    b = other.push(scan(points[order], 1))
    assert a.moving_probability.any()
    np.testing.assert_allclose(a.moving_probability[order], b.moving_probability, atol=1e-5)


def test_what_hangs_together_with_moving_points_moves_too(tiny_model, tmp_path, rng):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    spec = ModelSpec.from_json((folder / "model.json").read_text(), "tiny")
    plain = Segmenter(folder, provider="cpu")
    scans = [scan(street(rng), stamp) for stamp in (0.8, 1)]
    result = [plain.push(s) for s in scans][1]
    # Thresholds in the middle of what the untrained network gives.
    low, high = np.quantile(result.moving_probability[result.labels != UNLABELLED], [0.3, 0.8])
    spec = replace(spec, moving_threshold=float(high), connected_threshold=float(low))
    (folder / "model.json").write_text(spec.to_json())
    segmenter = Segmenter(folder, provider="cpu")
    carried = [segmenter.push(s) for s in scans][1]
    probability = carried.moving_probability
    np.testing.assert_array_equal(probability, result.moving_probability)
    inside = np.flatnonzero(carried.labels != UNLABELLED)
    at = segmenter.ask(scan(scans[1].points, 1.2), (), None).frame  # the same cells
    evidence = evidence_of_motion(probability[at.index], at.cell, spec.grid, float(low))
    np.testing.assert_array_equal(carried.labels[at.index] == MOVING, evidence >= np.float32(high))
    np.testing.assert_array_equal(np.sort(at.index), inside)
    alone = (probability >= np.float32(high)).sum()
    assert (carried.labels == MOVING).sum() > alone > 0


def test_the_future_changes_nothing(segmenter, tiny_model, rng):
    scans = [scan(street(rng), 0.2 * i) for i in range(6)]
    online = [segmenter.push(s).moving_probability for s in scans]
    shorter = Segmenter(tiny_model, provider="cpu", num_threads=2)
    for s, expected in zip(scans[:4], online, strict=False):
        np.testing.assert_array_equal(shorter.push(s).moving_probability, expected)


def test_the_past_matters(segmenter, tiny_model, rng):
    fresh = Segmenter(tiny_model, provider="cpu")
    first, second = scan(street(rng), 0), scan(street(rng), 0.2)
    segmenter.push(first)
    a, b = segmenter.push(second), fresh.push(second)
    assert np.abs(a.moving_probability - b.moving_probability).max() > 1e-3


def test_after_a_reset_it_is_as_new(segmenter, tiny_model, rng):
    scans = [scan(street(rng), 0.2 * i) for i in range(3)]
    segmenter.push(scan(street(rng), 9))
    segmenter.reset()
    fresh = Segmenter(tiny_model, provider="cpu", num_threads=2)
    for s in scans:
        np.testing.assert_array_equal(segmenter.push(s).labels, fresh.push(s).labels)


def test_warm_up_leaves_no_trace(tiny_model, rng):
    warm, cold = (Segmenter(tiny_model, provider="cpu", num_threads=2) for _ in range(2))
    warm.warm_up()
    for s in [scan(street(rng), 0.2 * i) for i in range(2)]:
        a, b = warm.push(s).moving_probability, cold.push(s).moving_probability
        np.testing.assert_array_equal(a, b)
    assert a.any()


def test_without_an_earlier_scan_nothing_is_called_moving(segmenter, rng):
    street_now = street(rng)
    first = segmenter.push(scan(street_now, 0))
    assert not first.moving_probability.any() and (first.labels != MOVING).all()
    assert {STATIC, MOVABLE} >= set(first.labels[first.labels != UNLABELLED].tolist())
    assert segmenter.push(scan(street_now, 0.2)).moving_probability.any()
    segmenter.reset()
    assert not segmenter.push(scan(street_now, 0.4)).moving_probability.any()


@pytest.mark.parametrize("points", [np.empty((0, 3)), np.full((10, 3), np.nan)])
def test_nothing_to_label_is_fine(segmenter, points):
    result = segmenter.push(scan(points, 1))
    assert result.labels.tolist() == [UNLABELLED] * len(points)


def test_repeated_stamp_and_bad_scan_are_refused(segmenter, rng):
    segmenter.push(scan(street(rng), 1))
    with pytest.raises(ValueError, match="not newer"):
        segmenter.push(scan(street(rng), 1))
    with pytest.raises(ValueError, match="points"):
        scan(np.zeros((4, 2)), 2)
    with pytest.raises(ValueError, match="pose"):
        scan(np.zeros((4, 3)), 2, np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match="intensity"):
        Scan(np.zeros((4, 3), np.float32), np.zeros(3, np.float32), 0, np.eye(4))


def test_the_mount_moves_the_grid(tiny_model, rng):
    points = street(rng)
    low = Segmenter(tiny_model, provider="cpu")
    mount = np.eye(4)
    mount[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    mount[2, 3] = 1.73
    high = Segmenter(tiny_model, provider="cpu", mount=mount)
    for stamp_s in (0, 0.2):
        a, b = low.push(scan(points, stamp_s)), high.push(scan(points, stamp_s))
    assert np.abs(a.moving_probability - b.moving_probability).max() > 1e-3


def test_a_provider_that_is_not_there_falls_back_and_says_so(tiny_model):
    import onnxruntime

    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("TensorRT is there")
    segmenter = Segmenter(tiny_model, provider="tensorrt")
    assert segmenter.fell_back and segmenter.provider == "CPUExecutionProvider"
    assert not Segmenter(tiny_model, provider="auto").fell_back


def test_scatter_max_is_the_maximum_a_cell(rng):
    embedding = rng.uniform(0, 1, (500, 3)).astype(np.float32)
    cell = rng.integers(0, 40, 500).astype(np.int32)
    out = np.zeros((50, embedding.shape[1]), np.float32)
    for half in np.array_split(np.arange(len(cell)), 2):
        scatter_max(embedding[half], cell[half], out)
    for c in range(50):
        expected = embedding[cell == c].max(0) if (cell == c).any() else np.zeros(3)
        np.testing.assert_array_equal(out[c], expected)


def test_gather_is_the_softmax_over_the_labelled_classes():
    logits = np.zeros((1, 2, 4), np.float32)
    logits[0, 0] = [99, 0, 1, 2]
    logits[0, 1] = [0, 0, 3, -50]
    labels, probability = np.zeros(3, np.uint8), np.zeros(3, np.float32)
    slot, z_bin, index = np.zeros(2, np.int32), np.array([0, 1], np.int32), np.array([2, 0])
    nothing = np.zeros((2, 0), np.float32), np.zeros((1, 0), np.float32)
    gather(logits, *nothing, slot, z_bin, index, 0.5, labels, probability)
    e = np.exp([0, 1, 2])
    assert probability[2] == pytest.approx(e[2] / e.sum(), rel=1e-5)
    assert labels.tolist() == [MOVABLE, UNLABELLED, MOVING]
    gather(logits, *nothing, slot, z_bin, index, 0.7, labels, probability)
    assert labels[2] == MOVABLE != STATIC, "below the threshold the best other class is taken"


def test_points_of_a_voxel_differ_by_what_they_ask():
    logits = np.zeros((1, 1, 4), np.float32)
    query, key = np.array([[1, 2], [0, -1]], np.float32), np.array([[0.5, 1]], np.float32)
    labels, probability = np.zeros(2, np.uint8), np.zeros(2, np.float32)
    at, index = np.zeros(2, np.int32), np.arange(2)
    gather(logits, query, key, at, at, index, 0.5, labels, probability)
    expected = [np.exp(more) / (2 + np.exp(more)) for more in (2.5, -1)]
    np.testing.assert_allclose(probability, expected, rtol=1e-5)
    assert labels.tolist() == [MOVING, STATIC]


def test_the_own_vehicle_never_moves(tiny_model, rng, tmp_path):
    """Whatever the network says, also by connection with what moves."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    spec = load_spec(folder)
    save_spec(replace(spec, moving_threshold=1e-6, connected_threshold=1e-6), folder)
    points = street(rng)
    results = []
    for footprint in ("none", "-3, 3, -3, 3"):
        segmenter = Segmenter(folder, provider="cpu", footprint=footprint)
        segmenter.push(scan(points, 1.0))
        results.append(segmenter.push(scan(points, 1.2)))
    without, told = results
    inside = (np.abs(points[:, :2]) < 3).all(axis=1) & (np.hypot(*points[:, :2].T) > 2.01)
    moved = inside & (without.labels == MOVING)
    assert moved.sum() > 5
    assert (told.labels[moved] == STATIC).all() and not told.moving_probability[inside].any()
    assert (told.labels[~moved] == without.labels[~moved]).all()
