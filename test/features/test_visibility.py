"""See-through residuals on scenes whose answer is known."""

import numpy as np
import pytest

from kdmos_ros.features.history import PastScan, ScanHistory, lag_tolerance_s
from kdmos_ros.features.range_image import NOTHING, RangeImage, build_range_image
from kdmos_ros.features.visibility import (
    HIDDEN,
    MATCHED,
    SEEN_THROUGH,
    UNKNOWN,
    VisibilitySpec,
    look_up,
)
from kdmos_ros.geometry.transforms import from_pose, invert, transform


def wall(x, y_range=(-5.0, 5.0), z_range=(-1.0, 1.0)):
    """A wall of points across the x axis, dense enough for every pixel."""
    y, z = np.meshgrid(np.arange(*y_range, 0.02), np.arange(*z_range, 0.02))
    return np.stack([np.full(y.size, x), y.ravel(), z.ravel()], 1).astype(np.float32)


def compare(past_points, points, past_from_now=None, pool_rows=0):
    spec = VisibilitySpec(pool_rows=pool_rows)
    points = np.asarray(points, np.float32).reshape(-1, 3)
    state = np.full(len(points), 9, np.uint8)
    near, far = np.full((2, len(points)), 9, np.float32)
    look_up(
        build_range_image(past_points, spec.pool_rows),
        np.eye(4, dtype=np.float32) if past_from_now is None else past_from_now,
        points,
        spec.margin_m,
        spec.margin_per_m,
        state,
        near,
        far,
    )
    return state, near, far


def test_in_front_of_a_past_wall_is_seen_through_on_it_matched_behind_it_hidden():
    state, near, far = compare(wall(20), [[10, 0, 0], [20, 0, 0], [30, 0, 0]])
    assert state.tolist() == [SEEN_THROUGH, MATCHED, HIDDEN]
    assert near[0] == 1 and far[2] == -1
    assert abs(near[1]) < 0.1


def test_where_nothing_returned_nothing_is_known():
    state, near, far = compare(wall(20), [[-10, 0, 0], [10, 0, 9], [0, 0, 0], [np.nan, 0, 0]])
    assert state.tolist() == [UNKNOWN] * 4
    assert not near.any() and not far.any()


def parked_car(first=5.0, last=7.0, roof=-0.27):
    """Returns of 0.4 degree beams from 1.73 m above a road with a box on it."""
    elevation, azimuth = np.meshgrid(
        np.radians(np.arange(-20, -0.3, 0.4)), np.arange(-0.3, 0.3, 0.003)
    )
    fall = np.tan(elevation.ravel())
    ground, top = -1.73 / fall, roof / fall
    at_back = first * fall
    x = np.where((top >= first) & (top <= last), top, np.minimum(ground, 60.0))
    x = np.where((at_back < roof) & (at_back > -1.73), first, x)
    side = np.tan(azimuth.ravel())
    return np.stack([x, x * side, x * fall], 1).astype(np.float32)


def test_a_beam_that_passed_closely_above_a_roof_is_no_evidence_with_pooled_rows():
    x, y = np.meshgrid(np.arange(5.0, 7.0, 0.02), np.arange(-0.5, 0.5, 0.05))
    roof = np.stack([x, y, np.full(x.shape, -0.24)], -1).reshape(-1, 3)  # the pose is 3 cm off
    alone, _, _ = compare(parked_car(), roof)
    pooled, _, _ = compare(parked_car(), roof, pool_rows=1)
    assert (alone == SEEN_THROUGH).mean() > 0.2
    assert (pooled == SEEN_THROUGH).mean() < 0.02
    above, _, _ = compare(parked_car(), roof + np.array([0, 0, 0.15]), pool_rows=1)
    assert (above == SEEN_THROUGH).mean() > 0.95, "what stands on it now is"


@pytest.mark.parametrize("pool_rows", [-1, 5, 1.0])
def test_rows_to_pool_are_few(pool_rows):
    with pytest.raises(ValueError, match="pool_rows"):
        VisibilitySpec(pool_rows=pool_rows)


def test_an_edge_is_no_evidence():
    # Past: a pole in front of a wall. A point between the two, right beside the pole's edge,
    # is behind one neighbour and in front of the other.
    pole = wall(10, (-0.1, 0.1))
    state, _, _ = compare(np.concatenate([pole, wall(20)]), [[15, 0.15, 0], [15, 2, 0]])
    assert state.tolist() == [MATCHED, SEEN_THROUGH]


def test_margin_grows_with_range():
    spec = VisibilitySpec()
    for r in (5.0, 40.0):
        margin = spec.margin_m + spec.margin_per_m * r
        state, _, _ = compare(wall(r), [[r - 0.8 * margin, 0, 0], [r - 1.3 * margin, 0, 0]])
        assert state.tolist() == [MATCHED, SEEN_THROUGH], r


def test_ego_motion_is_removed_by_the_poses():
    # The sensor drove 3 m and turned by 90 degrees; the wall stood still.
    then = from_pose([0, 0, 0], [0, 0, 0, 1])
    now = from_pose([3, 0, 0], [0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4)])
    standing = transform(invert(now), np.array([[20, 0.5, 0]], np.float32))
    state, _, _ = compare(wall(20), standing, (invert(then) @ now).astype(np.float32))
    assert state.tolist() == [MATCHED]


def test_empty_pixels_take_the_nearest_beam():
    # Two beams 0.8 degrees apart: the gap between them is filled, far above them it is not.
    y = np.arange(-1, 1, 0.01)
    beams = [
        np.stack([np.full_like(y, 20), y, np.full_like(y, 20 * np.tan(np.radians(e)))], 1)
        for e in (0.1, 0.9)
    ]
    between, above = [10, 0, 10 * np.tan(np.radians(0.5))], [10, 0, 10 * np.tan(np.radians(3))]
    state, _, _ = compare(np.concatenate(beams).astype(np.float32), [between, above])
    assert state.tolist() == [SEEN_THROUGH, UNKNOWN]


@pytest.mark.parametrize("change", [{"lags_s": ()}, {"lags_s": (0.0,)}, {"margin_m": -1.0}])
def test_a_specification_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match="visibility"):
        VisibilitySpec(**change)


NO_IMAGE = RangeImage(np.full(1, NOTHING, np.uint32), 0)


def past(stamp_s):
    return PastScan(round(stamp_s * 1e9), np.eye(4), NO_IMAGE)


@pytest.mark.parametrize("rate_hz", [5, 10, 12.5, 20])
def test_lags_are_seconds_at_any_rate(rate_hz):
    history = ScanHistory(1.6)
    now = 4.0
    for stamp in np.arange(0, now - 1e-6, 1 / rate_hz):
        history.add(past(stamp))
    for lag in (0.2, 0.4, 0.8, 1.6):
        found = history.at_lag(round(now * 1e9), lag)
        assert found is not None
        assert abs(now - found.stamp_ns / 1e9 - lag) <= 0.5 / rate_hz + 1e-6


def test_history_is_bounded_and_a_missing_scan_is_none():
    history = ScanHistory(1.6)
    for stamp in np.arange(0, 60, 0.1):
        history.add(past(stamp))
    assert len(history) in (17, 18)
    assert history.at_lag(round(65e9), 0.2) is None
    assert ScanHistory(1.6).at_lag(0, 0.2) is None


def test_what_is_forgotten_would_not_have_been_asked_for():
    rng = np.random.default_rng(0)
    history, all_scans, stamp = ScanHistory(1.6), [], 0.0
    for _ in range(200):
        stamp += rng.choice([0.05, 0.1, 0.13, 0.4, 2.0], p=[0.3, 0.4, 0.2, 0.08, 0.02])
        now = round(stamp * 1e9)
        for lag in (0.2, 0.8, 1.6):
            near = min(
                all_scans, key=lambda s: abs(s.stamp_ns - now + int(lag * 1e9)), default=None
            )
            found = history.at_lag(now, lag)
            assert found is None or found is near
            if found is None and near is not None:
                assert abs(now - near.stamp_ns - lag * 1e9) > lag_tolerance_s(lag) * 1e9
        history.add(past(stamp))
        all_scans.append(history.newest)


def test_history_refuses_time_running_backwards():
    history = ScanHistory(1.6)
    history.add(past(1.0))
    for stamp in (1.0, 0.5):
        with pytest.raises(ValueError, match="not newer"):
            history.add(past(stamp))
    history.clear()
    history.add(past(0.5))
    assert len(history) == 1
