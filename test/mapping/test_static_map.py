"""What becomes of a place: structure, what stood there for a while, what moved through."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.mapping.static_map import MapScore, StaticMap
from kdmos_ros.mapping.views import Views
from kdmos_ros.scan import Scan

STEP_NS = 200_000_000


def wall(distance, half_width=0.6, n=4000, seed=0, half_height=1.5):
    """A wall across +x; dense, so that rays between its points are not seen through it."""
    rng = np.random.default_rng(seed)
    phi, z = rng.uniform(-half_width, half_width, n), rng.uniform(-half_height, half_height, n)
    return np.column_stack([np.full(n, distance), distance * np.tan(phi), z]).astype(np.float32)


def scan(index, points, x=0.0, intensity=None):
    return Scan(points, intensity, index * STEP_NS, from_pose([x, 0, 0], [0, 0, 0, 1]))


@pytest.fixture
def empty(tmp_path):
    return lambda voxel_m=0.2: StaticMap(voxel_m, Views(tmp_path / "views"))


def grow(static_map, scans):
    """Scans with one label and one truth each."""
    for one, label, truth in scans:
        n = len(one.points)
        static_map.add(one, np.full(n, label, np.uint8), np.full(n, truth, np.uint8))
        static_map.scans += 1
    return static_map


def box(points, seed=1):
    """The wall behind, and something in front of its middle."""
    return np.concatenate([points, wall(8.0, 0.15, 1500, seed, 0.4)])


def labels_of(n_wall, n_box, label):
    return np.concatenate([np.full(n_wall, STATIC), np.full(n_box, label)]).astype(np.uint8)


def test_structure_stays(empty):
    made = grow(empty(), [(scan(i, wall(20.0, seed=i)), STATIC, STATIC) for i in range(6)])
    cloud = made.points()
    assert len(cloud.points) > 500
    np.testing.assert_allclose(cloud.points[:, 0], 20.0, atol=1e-5)
    assert made.score().figures()["static_accuracy"] == 1.0


@pytest.mark.parametrize("stays", [1, 2])
def test_what_was_called_static_and_seen_through_is_no_structure(empty, stays):
    """Missed for some scans; the wall behind is seen in all the others."""
    made = empty()
    for i in range(10):
        behind = wall(20.0, seed=i)
        points = box(behind) if i < stays else behind
        labels = np.full(len(points), STATIC, np.uint8)
        truth = labels_of(len(behind), len(points) - len(behind), MOVING)
        made.add(scan(i, points), labels, truth)
        made.scans += 1
    assert (made.points().points[:, 0] > 15).all()
    score = made.score()
    assert score.moving == 1500 * stays and score.moving_kept == 0
    assert score.static_accuracy == 1.0


def test_what_stood_most_of_the_time_is_structure(empty):
    made = empty()
    for i in range(10):
        behind = wall(20.0, seed=i)
        points = box(behind, seed=100 + i) if i < 7 else behind
        made.add(scan(i, points), np.full(len(points), MOVABLE, np.uint8))
        made.scans += 1
    assert (np.abs(made.points().points[:, 0] - 8.0) < 0.1).any()


def test_later_views_count_from_wherever_they_are(empty):
    made = empty()
    for i in range(8):
        x = 0.5 * i
        behind = wall(20.0 - x, seed=i)
        points = box(behind) if i == 0 else behind
        made.add(scan(i, points, x), np.full(len(points), STATIC, np.uint8))
        made.scans += 1
    assert (made.points().points[:, 0] > 15).all()


def test_parts_of_what_moves_are_left_out(empty):
    """A few points of a moving thing that were called static, where nobody looks through."""
    made = empty()
    points = wall(8.0, 0.15, 3000)
    labels = np.full(3000, MOVING, np.uint8)
    labels[::20] = STATIC
    made.add(scan(0, points), labels, np.full(3000, MOVING, np.uint8))
    assert len(made.points().points) == 0
    assert made.score().dynamic_accuracy == 1.0


def test_unlabelled_points_are_no_structure_and_count_as_lost(empty):
    made = grow(empty(), [(scan(i, wall(20.0)), UNLABELLED, STATIC) for i in range(2)])
    assert len(made.points().points) == 0
    assert made.score() == MapScore(8000, 0, 0, 0)


def test_the_score_outlives_the_views(tmp_path):
    views = Views(tmp_path / "views")
    made = StaticMap(0.2, views)
    for i in range(8):
        behind = wall(20.0, seed=i)
        points = box(behind) if i == 0 else behind
        truth = labels_of(len(behind), len(points) - len(behind), MOVING)
        made.add(scan(i, points), np.full(len(points), STATIC, np.uint8), truth)
        made.scans += 1
    before = made.score()
    views.remove()
    assert made.score() == before and before.moving_kept == 0


def test_figures_are_those_of_the_benchmark():
    figures = MapScore(static=1000, moving=100, static_kept=900, moving_kept=36).figures()
    assert figures["static_accuracy"] == pytest.approx(0.9)
    assert figures["dynamic_accuracy"] == pytest.approx(0.64)
    assert figures["associated_accuracy"] == pytest.approx((0.9 * 0.64) ** 0.5)
    assert figures["harmonic_accuracy"] == pytest.approx(2 * 0.9 * 0.64 / 1.54)
    nothing = MapScore(10, 0, 10, 0)
    assert nothing.figures()["associated_accuracy"] is None
    assert "DA n/a" in nothing.to_text()


def test_normals_point_to_the_sensor_and_intensity_is_kept(empty):
    made = empty()
    for i in range(3):
        points = wall(20.0, seed=i)
        bright = np.full(len(points), 0.25, np.float32)
        made.add(scan(i, points, intensity=bright), np.full(len(points), STATIC, np.uint8))
        made.scans += 1
    cloud = made.points()
    known = np.isfinite(cloud.normals[:, 0])
    assert known.mean() > 0.9
    np.testing.assert_allclose(cloud.normals[known], [[-1, 0, 0]] * known.sum(), atol=0.1)
    np.testing.assert_allclose(cloud.intensity, 0.25, atol=1e-6)


def test_smooth_ground(empty):
    rng = np.random.default_rng(0)
    made = empty()
    for i in range(3):
        points = rng.uniform(-6, 6, (20000, 3)).astype(np.float32)
        points[:, 2] = -1.7 + rng.normal(0, 0.03, len(points))
        made.add(scan(i, points), np.full(len(points), STATIC, np.uint8))
        made.scans += 1
    rough, smooth = made.points().points, made.points(ground=True).points
    assert smooth.shape == rough.shape
    assert smooth[:, 2].std() < 0.6 * rough[:, 2].std()
    assert np.abs(smooth - rough).max() < 0.2


def test_saved_and_taken_up_bit_for_bit(tmp_path):
    whole = StaticMap(0.2, Views(tmp_path / "whole"))
    part = StaticMap(0.2, Views(tmp_path / "part"))
    for i in range(9):
        points = box(wall(20.0, seed=i)) if i < 2 else wall(20.0, seed=i)
        for made in (whole, part):
            made.add(scan(i, points), np.full(len(points), STATIC, np.uint8))
            made.scans += 1
        if i in (3, 6):
            part.save(tmp_path / "state.npz")
            views = Views(tmp_path / "part")
            # What came after was not saved.
            Views(tmp_path / "part").add(scan(i + 1, points), i + 1)
            part = StaticMap.load(tmp_path / "state.npz", views)
    for name in ("points", "normals"):
        a, b = (getattr(made.points(), name) for made in (whole, part))
        np.testing.assert_array_equal(a, b)
    assert part.scans == 9


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_damaged_state_is_a_clear_error(tmp_path, content):
    path = tmp_path / "state.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KdmosError, match="state"):
        StaticMap.load(path, Views(tmp_path / "views"))


def test_a_map_of_nothing(empty):
    assert empty().points().points.shape == (0, 3)
    assert empty().score() == MapScore(0, 0, 0, 0)
