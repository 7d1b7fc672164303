"""Participants cast into recorded scans: occlusion, labels, ground, room, speeds."""

import itertools

import numpy as np
import pytest

from kdmos_ros.geometry.transforms import invert, transform
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.object_kinds import Kind
from kdmos_ros.scan import Scan
from kdmos_ros.sim import make_drive
from kdmos_ros.sim.casting import CastCounts, Recording
from kdmos_ros.sim.recorded_place import HIGH, LOW, RecordedPlace
from kdmos_ros.sim.recorded_rays import beam_spacing, recorded_rays
from kdmos_ros.sim.scan_rendering import Renderer
from kdmos_ros.sim.sensors import SENSORS
from kdmos_ros.sim.solids import BOX, HALF, Solid, body
from kdmos_ros.sim.terrain import make_ground
from kdmos_ros.sim.traffic import clock, standing
from kdmos_ros.sim.world import Actor, Plan, World

SENSOR = SENSORS["hdl64e"]


@pytest.fixture(scope="module")
def drive():
    return make_drive(31, "hdl64e", 1.6, 5.0, scene="street", ego="driving", movers=False,
                      odometry_noise=False)  # fmt: skip


@pytest.fixture(scope="module")
def frames(drive):
    return list(drive)


@pytest.fixture(scope="module")
def recording(drive, frames):
    return Recording([f.scan for f in frames], drive.base_T_sensor)


def box_world(center, half):
    rng = np.random.default_rng(0)
    ground = make_ground(rng, (-90, -90), (90, 90), [], paved=True)
    ground.grid[..., 0] = 0
    ground.profile[:] = 0
    one = body([Solid(BOX, center, tuple(2 * h for h in half), Kind.CAR, 0.5)])
    times = clock(1.0)
    actor = Actor(one, standing((0.0, 0.0, 0.0), len(times)), (1.0, 1.0))
    return World(Plan(ground, standing((30.0, 30, 0), len(times)), [], [actor]), rng)


def enters(directions, center, half):
    """Range (N,) at which rays from the origin enter a box along the axes; inf if they miss it."""
    with np.errstate(divide="ignore"):
        t = (np.stack([center - half, center + half])[:, None] / directions).astype(float)
    t_in, t_out = t.min(0).max(1), t.max(0).min(1)
    return np.where((t_in < t_out) & (t_in > 0), t_in, np.inf)


def test_just_what_is_behind_a_body_is_gone(frames):
    points = frames[3].scan.points
    spacing = beam_spacing([points])
    recorded = recorded_rays(points, spacing, SENSOR.max_range)
    for at, half in (((9.0, 2.0, 0.0), (2.0, 0.9, 0.8)), ((-4, -6, -0.6), (0.3, 0.3, 0.9))):
        center, half = np.array(at, float), np.array(half)
        renderer = Renderer(box_world(center, half), SENSOR, np.zeros(3))
        returns, covered = renderer.sweep_over(recorded.rays, recorded.ranges, np.eye(4), 0.5, 7)
        entry = enters(recorded.rays.directions.astype(float), center, half)
        expected = entry < recorded.ranges
        assert (covered != expected).sum() <= 3 and expected.sum() > 100  # rays along an edge
        # Returns are on the box, and hardly fewer than rays that it stops.
        off = np.abs(returns.points - center) - half
        assert np.abs(off.max(axis=1)).max() < 0.15
        assert 0.93 < len(returns.points) / covered.sum() <= 1
        hidden = recorded.point[covered]
        assert (hidden >= 0).sum() > 50


def test_every_return_is_a_ray_and_lost_rays_are_between_returns(frames):
    points = frames[2].scan.points
    spacing = beam_spacing([f.scan.points for f in frames])
    recorded = recorded_rays(points, spacing, 80.0)
    returned = recorded.point >= 0
    assert sorted(recorded.point[returned]) == list(range(len(points)))
    ends = recorded.rays.directions[returned] * recorded.ranges[returned, None]
    np.testing.assert_allclose(ends, points[recorded.point[returned]], atol=1e-3)
    total = SENSOR.beams * SENSOR.columns
    assert 0.75 * total < len(returned) < 1.1 * total  # steep rays on the own body stay lost
    usual = np.rad2deg(spacing.at(np.deg2rad(np.array([-15.0, -4.0]))))
    np.testing.assert_allclose(usual, [0.5, 0.333], atol=0.06)


def test_what_stands_before_the_sky_is_seen(frames):
    points = frames[2].scan.points
    elevation = np.rad2deg(np.arcsin(points[:, 2] / np.linalg.norm(points, axis=1)))
    ahead = np.abs(np.arctan2(points[:, 1], points[:, 0])) < 0.3
    cut = points[~(ahead & (elevation > -3))]  # as if there were nothing far off ahead
    spacing = beam_spacing([points])
    recorded = recorded_rays(cut, spacing, 80.0)
    world = box_world((10.0, 0.0, 0.0), (0.3, 0.5, 3.0))
    returns, _ = Renderer(world, SENSOR, np.zeros(3)).sweep_over(
        recorded.rays, recorded.ranges, np.eye(4), 0.5, 7
    )
    up = np.rad2deg(np.arcsin(returns.points[:, 2] / np.linalg.norm(returns.points, axis=1)))
    assert (up > -2.5).sum() > 50 and 1.0 < up.max() < 2.3


def test_a_lost_ray_on_a_window_does_not_see_through_the_car():
    angles = np.deg2rad(np.concatenate([np.arange(-12.0, -7.9, 0.4), np.arange(-4.0, 0.1, 0.4)]))
    column = np.stack([8 * np.cos(angles), np.zeros(len(angles)), 8 * np.sin(angles)], -1)
    many = [column @ np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
            for a in np.arange(-3, 3, 0.01)]  # fmt: skip
    points = np.concatenate(many).astype(np.float32)
    recorded = recorded_rays(points, beam_spacing([points]), 80.0)
    lost = recorded.point < 0
    window = lost & (recorded.rays.elevations < np.deg2rad(-3))
    assert window.sum() >= 9 * len(many)
    np.testing.assert_allclose(recorded.ranges[window], 8.0, atol=1e-3)


def in_odom(drive, xyz):
    return transform(invert(drive.true_base_poses[0]), xyz)


@pytest.mark.slow
def test_the_ground_of_a_place_is_where_it_is(drive, recording):
    at = recording.place.places(beside=False)
    assert len(at) > 1500
    at = at[::7]
    z = recording.place.ground.height(*at.T)
    world = transform(drive.true_base_poses[0], np.column_stack([at, z]))
    off = np.abs(world[:, 2] - drive.world.ground.height(*world[:, :2].T))
    assert np.median(off) < 0.04 and np.quantile(off, 0.95) < 0.12


@pytest.mark.slow
def test_cast_participants_stand_on_the_ground_and_keep_clear(drive, recording):
    checked = 0
    for seed in range(3):
        world, _ = recording.cast(seed, CastCounts())
        clouds = np.concatenate(recording.clouds)
        above = clouds[:, 2] - recording.place.ground.height(*clouds[:, :2].T)
        solid_points = clouds[(above > LOW) & (above < HIGH)]
        for time in (0.0, 0.8, 1.4):
            shot = world.snapshot(time)
            reach = np.abs(shot.axes * world.rows[:, HALF, None]).sum(1)
            for actor in np.unique(world.owner):
                mine = world.owner == actor
                low = (shot.center[mine] - reach[mine]).min(0)
                high = (shot.center[mine] + reach[mine]).max(0)
                x, y = 0.5 * (low + high)[:2]
                feet = transform(drive.true_base_poses[0], np.array([[x, y, low[2]]]))[0]
                true = drive.world.ground.height(feet[0], feet[1])
                assert abs(feet[2] - true) < 0.25, (seed, actor)
                if (high - low)[:2].max() < 1.3:  # turned boxes of long bodies are too wide
                    inside = (solid_points[:, :2] > low[:2]) & (solid_points[:, :2] < high[:2])
                    assert inside.all(axis=1).sum() <= 2
                checked += 1
    assert checked > 90


def test_labels_kinds_and_speeds_are_those_of_what_was_cast(recording):
    moved = 0
    for seed in range(3):
        world, cast = recording.cast(seed, CastCounts())
        speed_of = [world.speed_of_instance(0.2 * k) for k in range(len(cast))]
        centres = {}
        for k, (scan, recorded) in enumerate(zip(cast, recording.scans, strict=True)):
            n = len(scan.kept)
            np.testing.assert_array_equal(scan.scan.points[:n], recorded.points[scan.kept])
            assert len(scan.scan.points) - n == len(scan.labels) > 100
            assert (scan.kind >= Kind.CAR).all() and (scan.instance > 0).all()
            np.testing.assert_allclose(scan.speed, speed_of[k][scan.instance], atol=1e-4)
            assert (scan.speed[scan.labels == MOVING] > 0.45).all()
            assert (scan.speed[scan.labels == MOVABLE] < 0.85).all()
            assert set(np.unique(scan.labels)) <= {UNLABELLED, MOVABLE, MOVING}
            # Each point is on a solid of its own instance at that time.
            points = transform(recorded.pose, scan.scan.points[n:].astype(float))
            shot = world.snapshot(0.2 * k)
            for one in np.unique(scan.instance):
                own = world.instance == one
                reach = np.abs(shot.axes[own] * world.rows[own, HALF, None]).sum(1)
                low, high = (shot.center[own] - reach).min(0), (shot.center[own] + reach).max(0)
                mine = points[scan.instance == one]
                assert ((mine > low - 0.12) & (mine < high + 0.12)).all()
                centres.setdefault(one, []).append((k, shot.center[own].mean(0)))
        for one, places in centres.items():
            for (k, a), (m, b) in itertools.pairwise(places):
                gone = np.linalg.norm((b - a)[:2]) / (0.2 * (m - k))
                low, high = sorted((speed_of[k][one], speed_of[m][one]))
                assert low - 0.6 < gone < high + 0.6  # limbs swing, speeds change meanwhile
                moved += gone > 0.8
    assert moved > 60


def test_a_cast_is_drawn_from_its_seed(recording):
    (_, a), (_, b), (_, c) = (recording.cast(s, CastCounts()) for s in (5, 5, 6))
    for one, two in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.scan.points, two.scan.points)
        np.testing.assert_array_equal(one.labels, two.labels)
    assert a[0].scan.points.shape != c[0].scan.points.shape


def test_nothing_cast_leaves_the_recording_as_it_was(recording):
    _, cast = recording.cast(1, CastCounts(0, 0, 0, 0))
    for scan, recorded in zip(cast, recording.scans, strict=True):
        np.testing.assert_array_equal(scan.scan.points, recorded.points)
        assert len(scan.labels) == 0


@pytest.mark.slow
def test_what_is_called_surely_static_is():
    wrong = total = ground = found = 0
    for seed in (41, 42, 43):
        drive = make_drive(seed, "hdl64e", 1.6, 5.0, scene="street", movers=True)
        frames = list(drive)
        recording = Recording([f.scan for f in frames], drive.base_T_sensor)
        for frame, cloud in zip(frames, recording.clouds, strict=True):
            sure = recording.place.surely_static(cloud) == STATIC
            wrong += int((frame.labels[sure] == MOVING).sum())
            total += int((frame.labels == MOVING).sum())
            road = np.isin(frame.kind, (Kind.ROAD, Kind.PAVEMENT))
            road &= np.linalg.norm(frame.scan.points, axis=1) < 25
            ground += int(road.sum())
            found += int((sure & road).sum())
    assert total > 3000
    assert wrong <= 0.002 * total
    assert found > 0.6 * ground


def test_places_reject_what_runs_into_something():
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.uniform(-15, 15, (60000, 2)), rng.normal(0, 0.01, 60000)])
    flat = flat[~((flat[:, 0] > 10) & (flat[:, 1] > 0))]  # nothing is known there
    post = np.column_stack([rng.uniform(4.8, 5.2, (200, 2)), rng.uniform(0.1, 2, 200)])
    place = RecordedPlace([flat, np.concatenate([flat, post])], np.zeros((2, 3)), reach=20.0)
    line = np.stack([np.linspace(0, 9, 40), np.full(40, 5.0)], -1)
    assert not place.clear(line, 0.28)
    assert place.clear(line - [0, 1.0], 0.28)
    assert not place.clear(line - [0, 0.5], 0.28 + 0.4)
    track = np.array([[5.0, 2.9, 0.0]])
    assert place.clear_of(track, (4.0, 1.8)) and not place.clear_of(track, (1.8, 4.2))
    assert not place.clear(np.array([[12.0, 5.0]]), 0.28)
    assert not place.clear(np.array([[500.0, 5.0]]), 0.28)


def test_scans_without_intensity_stay_without(drive, frames):
    scans = [Scan(f.scan.points, None, f.scan.stamp_ns, f.scan.pose) for f in frames[:4]]
    _, cast = Recording(scans, drive.base_T_sensor, "pandar40").cast(0, CastCounts(4, 0, 0, 0))
    assert all(c.scan.intensity is None for c in cast)


def test_ground_that_a_standing_sensor_never_sees():
    """Nothing within 5 m: the lowest beam passes above it."""
    xy = np.stack(np.meshgrid(*[np.arange(-15, 15, 0.1)] * 2), -1).reshape(-1, 2)
    xy = xy[np.hypot(*xy.T) > 5.0]
    ring = np.column_stack([xy, np.zeros(len(xy))])
    assert not RecordedPlace([ring, ring], np.zeros((2, 3)), reach=20.0).ground.seen.any()
    ground = RecordedPlace([ring, ring], np.zeros((2, 3)), reach=20.0, hole=6.0).ground
    assert ground.seen.sum() > 2000
