"""Height residuals: against a slow definition, and what arrives, leaves, stays or is hidden."""

import dataclasses

import numpy as np
import pytest

from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import PolarGrid, to_polar
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.geometry.transforms import invert, make_transform
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.scan import Scan

GRID = PolarGrid(n_rho=48, n_phi=72, n_z=24)
ALONE = FeatureSpec(
    point=("rho", "height"),
    visibility=VisibilitySpec(lags_s=(0.2, 0.4)),
    visibility_map=False,
    height_residuals=True,
)
HEIGHT = 1.5
MOUNT = make_transform(np.eye(3), [0, 0, HEIGHT])
ARRIVED, LEFT = 0, 1


def turn(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def ground():
    """Returns of even, rough ground around the odometry's origin."""
    rho, phi = np.meshgrid(np.arange(3, 49.9, 0.3), np.arange(-np.pi, np.pi, 0.008))
    x, y = rho * np.cos(phi), rho * np.sin(phi)
    z = -HEIGHT + np.random.default_rng(0).uniform(-0.01, 0.01, x.shape)
    return np.stack([x, y, z], -1).reshape(-1, 3)


def box(x, y, top=1.7, size=0.6):
    """Returns of a box on the ground, its height in metres."""
    rng = np.random.default_rng(1)
    half = size / 2
    low, high = [x - half, y - half, -HEIGHT + 0.02], [x + half, y + half, top - HEIGHT]
    return np.concatenate([rng.uniform(low, high, (300, 3)), [low, high]])


def push(fx, stamp_s, *parts, pose=None):
    """A scan of points given in the odometry's frame."""
    pose = np.eye(4) if pose is None else pose
    points = np.concatenate(parts) @ invert(pose)[:3, :3].T + invert(pose)[:3, 3]
    return fx.push(Scan(points.astype(np.float32), None, round(stamp_s * 1e9), pose))


def residuals(frame, spec=ALONE):
    """(n_cells, lags, 2): the last columns of the motion map."""
    lags = len(spec.visibility.lags_s)
    return frame.motion[:, -2 * lags :].reshape(-1, lags, 2)


def cell_of(x, y):
    return int(GRID.cells(*to_polar(np.array([[x, y, 0]], np.float32)))[0])


def slow(now, past, now_from_past, grid, mount):
    """The definition, cell by cell in double precision; z is above the base's plane."""

    def spans(points, T):
        there = np.isfinite(points).all(1) & (points != 0).any(1)
        moved = points[there].astype(np.float64) @ T[:3, :3].T + T[:3, 3]
        x, y, z = (moved @ mount[:3, :3].T + [0, 0, mount[2, 3]]).T
        ring = np.floor((np.hypot(x, y) - grid.rho_min) / grid.d_rho)
        sector = np.floor((np.arctan2(y, x) + np.pi) / grid.d_phi)
        kept = (z >= grid.z_min) & (z <= grid.z_max)
        h = np.zeros((grid.n_rho, grid.n_phi))
        for r, s in np.ndindex(h.shape):
            inside = z[kept & (ring == r) & (sector == s)]
            h[r, s] = inside.max() - inside.min() if len(inside) else 0
        return h

    h_now, h_past = spans(now, np.eye(4)), spans(past, now_from_past)
    out = np.zeros((grid.n_cells, 2))
    for r, s in np.ndindex(h_now.shape):
        a, b = h_now[r, s], h_past[r, s]
        if 0.4 <= a <= 4 and b <= 0.2 * a and h_past[r:, s].any():
            out[r * grid.n_phi + s, ARRIVED] = a - b
        if 0.4 <= b <= 4 and a <= 0.2 * b and h_now[r:, s].any():
            out[r * grid.n_phi + s, LEFT] = b - a
    return out


def test_the_values_are_those_of_the_slow_definition():
    rng = np.random.default_rng(4)
    grid = PolarGrid(n_rho=24, n_phi=36, n_z=8, z_reference="base")
    mount = make_transform(turn(0.3), [0.5, 0, HEIGHT])
    pose = make_transform(turn(-0.2), [1.7, -0.6, 0.1])

    def clutter():
        boxes = [box(*rng.uniform(-40, 40, 2), top=rng.uniform(0.2, 4.5)) for _ in range(90)]
        points = np.concatenate([*boxes, rng.uniform([-55, -55, -3], [55, 55, -0.5], (300, 3))])
        points[:: rng.integers(5, 9)] = np.nan
        points[3 :: rng.integers(5, 9)] = 0
        return points.astype(np.float32)

    past, now = clutter(), clutter()
    fx = FeatureExtractor(grid, ALONE, mount)
    fx.push(Scan(past, None, 0, np.eye(4)))
    values = residuals(fx.push(Scan(now, None, 200_000_000, pose)))[:, 0]
    expected = slow(now, past, invert(pose), grid, mount)
    assert (expected > 0).sum(0).min() > 15, "both kinds must occur for this test to say anything"
    # A few points come to lie on the other side of a border: past ones are kept to 2 mm.
    agree = np.isclose(values, expected, atol=5e-3)
    assert agree.all(1).mean() > 0.995
    assert agree[expected > 0].mean() > 0.95


def test_one_who_moves_arrives_and_leaves():
    fx = FeatureExtractor(GRID, ALONE, MOUNT)
    push(fx, 0, ground(), box(10, 5))
    pose = make_transform(turn(0.4), [1.0, 0.5, 0])
    frame = push(fx, 0.2, ground(), box(10, 9), pose=pose)
    values = residuals(frame)
    assert frame.motion.shape == (GRID.n_cells, 4) and not values[:, 1].any()
    to_now = invert(pose)
    arrived = to_now[:3, :3] @ [10, 9, 0] + to_now[:3, 3]
    left = to_now[:3, :3] @ [10, 5, 0] + to_now[:3, 3]
    assert values[cell_of(*arrived[:2]), 0, ARRIVED] == pytest.approx(1.7, abs=0.1)
    assert values[cell_of(*left[:2]), 0, LEFT] == pytest.approx(1.7, abs=0.1)
    assert values.min() == 0
    places = {ARRIVED: arrived, LEFT: left}
    for kind, place in places.items():
        cells = np.flatnonzero(values[:, 0, kind])
        rho = GRID.rho_min + (cells // GRID.n_phi + 0.5) * GRID.d_rho
        phi = -np.pi + (cells % GRID.n_phi + 0.5) * GRID.d_phi
        off = np.hypot(rho * np.cos(phi) - place[0], rho * np.sin(phi) - place[1])
        assert off.max() < 1.5, "nowhere else"


def test_what_stays_is_too_low_or_too_high_leaves_no_trace():
    fx = FeatureExtractor(GRID, ALONE, MOUNT)
    push(fx, 0, ground(), box(10, 0), box(0, 10, top=0.35))
    values = residuals(push(fx, 0.2, ground(), box(10, 0), box(0, -10, top=4.25)))
    assert not values.any()


@pytest.mark.parametrize("hidden", [True, False])
def test_where_nothing_was_seen_behind_a_wall_nothing_arrives_or_leaves(hidden):
    wall = np.concatenate([box(6, 0.5 * i) for i in range(-8, 9)])
    road = ground()
    behind = (np.hypot(road[:, 0], road[:, 1]) > 6.5) & (np.abs(road[:, 1]) < 0.3 * road[:, 0])
    road = road[~behind] if hidden else road
    before = FeatureExtractor(GRID, ALONE, MOUNT)
    push(before, 0, road, wall)
    arrived = residuals(push(before, 0.2, road, wall, box(12, 0.5)))
    after = FeatureExtractor(GRID, ALONE, MOUNT)
    push(after, 0, road, wall, box(12, 0.5))
    left = residuals(push(after, 0.2, road, wall))
    cell = cell_of(12, 0.5)
    assert (arrived[cell, 0, ARRIVED] > 0) == (not hidden)
    assert (left[cell, 0, LEFT] > 0) == (not hidden)
    assert not arrived[:, 0, LEFT].any() and not left[:, 0, ARRIVED].any()


def test_the_first_scan_and_a_missing_lag_are_zeros():
    fx = FeatureExtractor(GRID, ALONE, MOUNT)
    assert not push(fx, 0, ground(), box(10, 5)).motion.any()
    values = residuals(push(fx, 0.4, ground()))
    assert not values[:, 0].any(), "no scan is 0.2 s old"
    assert values[:, 1].any()
    fx.reset()
    assert not push(fx, 0.6, ground(), box(10, 5)).motion.any()


def test_points_without_a_return_do_not_matter():
    nothing = np.concatenate([np.full((50, 3), np.nan), np.zeros((50, 3)), np.full((5, 3), np.inf)])
    frames = []
    for extra in (np.empty((0, 3)), nothing):
        fx = FeatureExtractor(GRID, ALONE, MOUNT)
        for stamp, y in ((0, 5), (0.2, 7)):
            points = np.concatenate([ground(), box(10, y), extra]).astype(np.float32)
            frame = fx.push(Scan(points, None, round(stamp * 1e9), np.eye(4)))
        frames.append(frame)
    assert frames[0].motion.any()
    np.testing.assert_array_equal(frames[0].motion, frames[1].motion)


def test_an_empty_scan():
    fx = FeatureExtractor(GRID, ALONE, MOUNT)
    for stamp in (0, 1, 2):
        frame = fx.push(Scan(np.empty((0, 3), np.float32), None, stamp * 200_000_000, np.eye(4)))
        assert not frame.motion.any()


def test_all_other_features_are_those_without_it():
    plain = FeatureSpec(visibility=VisibilitySpec(lags_s=(0.2, 0.4)), vacated=True)
    both = dataclasses.replace(plain, height_residuals=True)
    a, b = FeatureExtractor(GRID, plain, MOUNT), FeatureExtractor(GRID, both, MOUNT)
    alone = FeatureExtractor(GRID, ALONE, MOUNT, num_threads=3)
    for i in range(4):
        parts = (ground(), box(10, 5 + 2 * i))
        x, y, z = (push(fx, 0.2 * i, *parts) for fx in (a, b, alone))
        np.testing.assert_array_equal(x.point, y.point)
        np.testing.assert_array_equal(x.motion, y.motion[:, : x.motion.shape[1]])
        np.testing.assert_array_equal(residuals(y, both), residuals(z))
    assert residuals(y, both).any() and x.motion.any()


@pytest.mark.parametrize(
    ("change", "n_motion"),
    [
        ({}, 18),
        ({"vacated": True}, 24),
        ({"height_residuals": True}, 22),
        ({"height_residuals": True, "vacated": True}, 28),
        ({"height_residuals": True, "visibility_map": False}, 4),
        ({"visibility_map": False, "vacated": True}, 6),
        ({"visibility_map": False}, 1),
    ],
)
def test_every_combination_can_be_chosen(change, n_motion):
    spec = FeatureSpec(visibility=VisibilitySpec(lags_s=(0.2, 0.4)), **change)
    assert spec.n_motion == n_motion
    fx = FeatureExtractor(GRID, spec, MOUNT)
    push(fx, 0, ground(), box(10, 5))
    frame = push(fx, 0.2, ground(), box(10, 7))
    assert frame.motion.shape == (GRID.n_cells, n_motion) and frame.n_past == 1
    assert frame.motion.any() == (n_motion > 1)
    assert np.isfinite(frame.motion).all()


def test_later_scans_do_not_matter():
    fx, other = FeatureExtractor(GRID, ALONE, MOUNT), FeatureExtractor(GRID, ALONE, MOUNT)
    ahead = Scan(box(10, 9).astype(np.float32), None, 10**9, np.eye(4))
    later = fx.as_later(ahead)
    for i in range(3):
        points = np.concatenate([ground(), box(10, 5 + i)]).astype(np.float32)
        scan = Scan(points, None, 200_000_000 * i, np.eye(4))
        a, b = fx.push(scan), other.push(scan, later=[later])
        np.testing.assert_array_equal(a.motion, b.motion)
    assert a.motion.any()


def test_a_scan_is_kept_as_it_was():
    points = np.concatenate([ground(), box(10, 5)]).astype(np.float32)
    frames = []
    for spoilt in (False, True):
        fx, first = FeatureExtractor(GRID, ALONE, MOUNT), points.copy()
        fx.push(Scan(first, None, 0, np.eye(4)))
        first[:] = 1 if spoilt else first
        frames.append(push(fx, 0.2, ground()))
    np.testing.assert_array_equal(frames[0].motion, frames[1].motion)


def test_specifications_without_it_are_written_as_before():
    plain = ModelSpec(name="m", features=FeatureSpec())
    assert "height_residuals" not in plain.to_json() and "visibility_map" not in plain.to_json()
    chosen = ModelSpec(name="m", features=ALONE)
    assert ModelSpec.from_json(plain.to_json(), "here") == plain
    assert ModelSpec.from_json(chosen.to_json(), "here") == chosen
    assert chosen.digest != plain.digest
