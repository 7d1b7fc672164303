"""Two scans of the same ground, with poses that are wrong."""

import dataclasses

import numpy as np
import pytest

from kdmos_ros.features.columns import motion_columns
from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.ground_alignment import Ground, align, take_ground
from kdmos_ros.features.point_coordinates import place
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.geometry.transforms import from_pose, invert, make_transform
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.scan import Scan
from kdmos_ros.sim import make_drive

BASE_T_SENSOR = from_pose([0.9, 0.1, 1.6], [0.0, 0.02, 0.3, 1.0])
MOUNT = BASE_T_SENSOR[:3, :3].astype(np.float32), np.float32(BASE_T_SENSOR[2, 3])
GRID = PolarGrid()


def road(base_pose, seed, n=30_000, farthest=30.0, lumps=0.0):
    """Sensor-frame points of a road that rises to the left, with a parked car on it."""
    rng = np.random.default_rng(seed)
    rho, phi = farthest * np.sqrt(rng.uniform(0.01, 1, n)), rng.uniform(-np.pi, np.pi, n)
    x, y = base_pose[0, 3] + rho * np.cos(phi), base_pose[1, 3] + rho * np.sin(phi)
    z = 0.04 * y + rng.normal(0, 0.01, n)
    z += rng.normal(0, lumps, (64, 64))[(x // 1.5).astype(int) % 64, (y // 1.5).astype(int) % 64]
    car = (np.abs(x - 8) < 2) & (np.abs(y - 4) < 1)
    z[car] += rng.uniform(0.3, 1.5, np.count_nonzero(car))
    world = np.stack([x, y, z, np.ones(n)], 1)
    return (world @ invert(base_pose @ BASE_T_SENSOR).T)[:, :3].astype(np.float32)


def ground(points):
    return take_ground(points, place(points, MOUNT, GRID).height, MOUNT)


def base_at(x, yaw=0.0):
    return from_pose([x, 0.0, 0.0], [0.02, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])


def wrong(height=0.0, roll=0.0, pitch=0.0):
    """An error in the base frame; angles in degrees."""
    half = np.radians([roll, pitch]) / 2
    return from_pose([0.0, 0.0, height], [half[0], half[1], 0.0, 1.0])


ERRORS = [
    {"height": 0.12},
    {"pitch": 1.0},
    {"roll": -0.8},
    {"height": -0.08, "roll": 0.4, "pitch": -0.7},
]


@pytest.mark.parametrize("error", ERRORS)
def test_errors_of_height_pitch_and_roll_go(error):
    past, now = base_at(0.0), base_at(4.0, yaw=0.3)
    grounds = ground(road(past, 1)), ground(road(now, 2))
    right = invert(now @ BASE_T_SENSOR) @ past @ BASE_T_SENSOR
    off = invert(BASE_T_SENSOR) @ wrong(**error) @ BASE_T_SENSOR @ right
    aligned = align(off, *grounds, MOUNT)
    there = np.array([[0, 0, -1.6, 1], [12, 0, -1.6, 1], [0, 12, -1.6, 1], [-9, -9, 0, 1]]).T

    def heights(motion):
        return (BASE_T_SENSOR @ motion @ there)[2]

    before = np.abs(heights(off) - heights(right)).max()
    after = np.abs(heights(aligned) - heights(right)).max()
    assert before > 0.07 and after < 0.012
    assert np.allclose(aligned[:3, :3] @ aligned[:3, :3].T, np.eye(3)), "still rigid"


def test_what_the_ground_does_not_tell_stays():
    """Yaw and the motion in the plane are the odometry's."""
    past, now = base_at(0.0), base_at(3.0)
    grounds = ground(road(past, 1)), ground(road(now, 2))
    right = invert(now @ BASE_T_SENSOR) @ past @ BASE_T_SENSOR
    aside = from_pose([0.2, 0.3, 0.0], [0.0, 0.0, 0.02, 1.0])
    off = invert(BASE_T_SENSOR) @ aside @ BASE_T_SENSOR @ right
    moved = BASE_T_SENSOR @ (align(off, *grounds, MOUNT) - off)
    assert np.abs(moved[:2, 3]).max() < 0.01


def test_right_poses_stay_right():
    past, now = base_at(0.0), base_at(1.0)
    right = invert(now @ BASE_T_SENSOR) @ past @ BASE_T_SENSOR
    aligned = align(right, ground(road(past, 1)), ground(road(now, 2)), MOUNT)
    assert np.abs(aligned - right).max() < 0.005


@pytest.mark.parametrize(
    "scans",
    [
        {"n": 60},
        {"n": 0},
        {"farthest": 2.5},
        {"lumps": 0.25},
    ],
    ids=str,
)
def test_where_the_ground_tells_little_poses_stay_as_they_are(scans):
    past, now = base_at(0.0), base_at(1.0)
    motion = (
        invert(now @ BASE_T_SENSOR) @ past @ BASE_T_SENSOR @ make_transform(np.eye(3), [0, 0, 0.05])
    )
    aligned = align(motion, ground(road(past, 1, **scans)), ground(road(now, 2, **scans)), MOUNT)
    np.testing.assert_array_equal(aligned, motion)


def test_grounds_a_storey_apart_are_not_the_same():
    cells = np.zeros((72 * 16, 4))
    now = ground(road(base_at(0.0), 1))
    past = Ground(now.points + np.float32([0, 0, 3.0]), cells)
    np.testing.assert_array_equal(align(np.eye(4), past, now, MOUNT), np.eye(4))


def test_an_odometry_that_climbs_makes_nothing_look_new():
    def seen_through(ground_aligned):
        spec = FeatureSpec(
            visibility=VisibilitySpec(lags_s=(0.4,)), vacated=True, ground_aligned=ground_aligned
        )
        extractor = FeatureExtractor(GRID, spec, BASE_T_SENSOR)
        for i in range(3):
            base = base_at(1.5 * i)
            odometry = make_transform(np.eye(3), [0, 0, 0.15 * i]) @ base
            points = road(base, i, n=60_000)
            frame = extractor.push(Scan(points, None, i * 400_000_000, odometry @ BASE_T_SENSOR))
        near = frame.point[:, spec.point.index("visibility")]
        return float((near > 0.5).mean())

    assert seen_through(False) > 0.05
    assert seen_through(True) < 0.2 * seen_through(False)


def test_the_odometry_of_a_simulated_drive_gets_better():
    """That of `make demo` climbs; the simulator knows the true motion."""
    whole = make_drive(2, sensor="hdl64e", duration_s=1.7, scene="crossing", ego="driving")
    mount = whole.base_T_sensor
    levelled = mount[:3, :3].astype(np.float32), np.float32(mount[2, 3])
    past, now = whole[0], whole[16]
    grounds = [
        take_ground(points, place(points, levelled, GRID).height, levelled)
        for points in (past.scan.points, now.scan.points)
    ]
    true = invert(now.true_pose) @ past.true_pose
    motion = invert(now.scan.pose) @ past.scan.pose

    def errors(estimate):
        around = np.array([[0, 0, -1.7, 1], [10, 0, -1.7, 1], [0, 10, -1.7, 1]]).T
        return np.abs((mount @ (estimate @ invert(true) @ around - around))[2]).max()

    before, after = errors(motion), errors(align(motion, *grounds, levelled))
    print(f"vertical error after 1.6 s: {before:.4f} m by odometry, {after:.4f} m aligned")
    assert before > 0.03 and after < 0.2 * before


EVERYTHING = FeatureSpec(
    visibility=VisibilitySpec(lags_s=(0.4, 0.8), future_lags_s=(0.4,), pool_rows=1),
    vacated=True,
    height_residuals=True,
    ground_aligned=True,
)


def drive(climb, spec=EVERYTHING, num_threads=1):
    """The last frame of a drive whose odometry climbs, metres a scan."""
    extractor = FeatureExtractor(GRID, spec, BASE_T_SENSOR, num_threads)
    scans = []
    for i in range(4):
        odometry = make_transform(np.eye(3), [0, 0, climb * i]) @ base_at(1.5 * i)
        points = road(base_at(1.5 * i), i, n=60_000)
        scans.append(Scan(points, None, i * 400_000_000, odometry @ BASE_T_SENSOR))
    frames = [extractor.push(now) for now in scans[:2]]
    frames.append(extractor.push(scans[2], later=[extractor.as_later(scans[3])]))
    return frames[-1]


@pytest.mark.slow
def test_threads_do_not_change_the_result():
    one, three = drive(0.1), drive(0.1, num_threads=3)
    np.testing.assert_array_equal(one.point, three.point)
    np.testing.assert_array_equal(one.motion, three.motion)


def test_the_motion_map_is_that_of_true_odometry():
    """Later scans and vacated space are worked out with the aligned motion, too."""

    def columns_that_differ(spec):
        true, climbing = drive(0.0, spec).motion, drive(0.12, spec).motion
        occupied = (true != 0).any(axis=1) | (climbing != 0).any(axis=1)
        return np.abs(true - climbing)[occupied].mean(axis=0)

    raw = columns_that_differ(dataclasses.replace(EVERYTHING, ground_aligned=False))
    aligned = columns_that_differ(EVERYTHING)
    names = motion_columns(EVERYTHING)
    for kind in ("past 0.4 seen through", "later 0.4 seen through", "vacated"):
        part = [kind in name for name in names]
        assert any(part) and aligned[part].sum() < 0.4 * raw[part].sum(), kind


def test_a_model_says_so_only_if_it_is_aligned():
    def spec(**options):
        visibility = VisibilitySpec(pool_rows=options.pop("pool_rows", 0))
        return ModelSpec("m", GRID, FeatureSpec(visibility=visibility, **options))

    aligned = spec(ground_aligned=True, pool_rows=1)
    assert ModelSpec.from_json(aligned.to_json(), "here") == aligned
    plain = spec().to_json()
    assert "ground_aligned" not in plain and "pool_rows" not in plain
