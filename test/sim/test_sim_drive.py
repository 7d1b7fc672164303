"""Drives as their users see them: repeatable, labelled by speed, true to the beam table."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import invert
from kdmos_ros.labels import MOVABLE, MOVING, STATIC
from kdmos_ros.object_kinds import is_participant
from kdmos_ros.sim import AT_ONCE, DISTORTED, SENSORS, Kind, SweepTiming, make_drive
from kdmos_ros.sim.mounting import mounted, mounted_anyhow
from kdmos_ros.sim.sensors import find_sensor
from kdmos_ros.sim.traffic import MOVING_FROM, MOVING_UNTIL

SCENES = ("street", "crossing", "car_park", "field")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sensor": "eye"}, "no sensor 'eye'"),
        ({"scene": "moon"}, "no scene 'moon'"),
        ({"ego": "flying"}, "no ego mode 'flying'"),
        ({"duration_s": 0.0}, "duration"),
        ({"duration_s": float("inf")}, "duration"),
        ({"rate_hz": -1.0}, "rate"),
        ({"rate_hz": float("nan")}, "rate"),
        ({"start_s": -1.0}, "duration"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(KdmosError, match=message):
        make_drive(0, **arguments)


def test_equal_seeds_give_equal_frames_in_any_order():
    options = {"sensor": "vlp16", "duration_s": 1.0, "sweep": DISTORTED}
    first, second = make_drive(5, **options), make_drive(5, **options)
    frames = list(first)
    for index in (7, 2):
        frame = second[index]
        np.testing.assert_array_equal(frame.scan.points, frames[index].scan.points)
        np.testing.assert_array_equal(frame.labels, frames[index].labels)
        np.testing.assert_array_equal(frame.scan.pose, frames[index].scan.pose)
    other = make_drive(6, **options)[2]
    assert not np.array_equal(other.scan.points[:100], frames[2].scan.points[:100])


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("sensor", ["hdl64e", "mid360"])
def test_frames_are_complete(scene, sensor):
    drive = make_drive(2, sensor, duration_s=1.0, rate_hz=5.0, scene=scene)
    assert len(drive) == 5 and drive.scene == scene
    frame = drive[-1]
    n = len(frame.scan.points)
    assert n > (50_000 if sensor == "hdl64e" else 1500)
    assert frame.scan.points.dtype == np.float32
    assert frame.scan.intensity.dtype == np.float32 and frame.scan.intensity.shape == (n,)
    assert frame.scan.intensity.min() >= 0 and frame.scan.intensity.max() <= 1
    assert frame.labels.dtype == np.uint8 and frame.labels.shape == (n,)
    assert frame.instance.dtype == np.int32 and frame.instance.shape == (n,)
    assert frame.kind.dtype == np.uint8 and frame.kind.shape == (n,)
    ranges = np.linalg.norm(frame.scan.points, axis=1)
    assert np.isfinite(ranges).all() and ranges.min() > 0.2
    assert ranges.max() < SENSORS[sensor].max_range + 1
    assert (frame.instance[is_participant(frame.kind)] > 0).all()
    assert (frame.instance[~is_participant(frame.kind)] == 0).all()
    assert (frame.kind != Kind.NOISE).all()
    with pytest.raises(IndexError):
        drive[5]


def test_stamps_follow_the_rate_and_the_start():
    drive = make_drive(0, "vlp16", duration_s=2.0, rate_hz=5.0, start_s=3.0)
    assert np.diff(drive.stamps_ns).tolist() == [200_000_000] * 9
    assert drive[3].scan.stamp_ns == drive.stamps_ns[3]
    assert drive.stamps_ns[0] - make_drive(0, "vlp16").stamps_ns[0] == 3_000_000_000


def test_a_sensor_without_intensity_reports_none():
    drive = make_drive(0, "pandar40", duration_s=1.0)
    assert len(drive) == 5  # its own 5 Hz
    assert drive[0].scan.intensity is None


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_moves_without_movers(scene):
    for seed in range(3):
        drive = make_drive(seed, "vlp16", duration_s=2.0, rate_hz=2.0, scene=scene, movers=False)
        assert all((frame.labels != MOVING).all() for frame in drive)


@pytest.mark.slow
def test_some_drives_have_no_movers_and_most_have():
    drives = [make_drive(seed, "vlp16", duration_s=0.5) for seed in range(40)]
    moving = [bool((d.world.speeds > 1).any()) for d in drives]
    assert 0.4 < np.mean(moving) < 0.95


@pytest.mark.parametrize("scene", SCENES)
def test_labels_agree_with_speeds(scene):
    moved = 0
    for seed in range(4):
        drive = make_drive(seed, "hdl32e", duration_s=4.0, rate_hz=1.0, scene=scene, movers=True,
                           odometry_noise=False)  # fmt: skip
        world = drive.world
        for time, frame in zip(drive.times, drive, strict=True):
            ahead, behind = world.snapshot(time + 0.1), world.snapshot(time - 0.1)
            shift = np.linalg.norm((ahead.center - behind.center)[:, :2], axis=1) / 0.2
            for instance in np.unique(frame.instance[frame.instance > 0]):
                solids = world.instance == instance
                speed = np.median(shift[solids])  # limbs swing, bodies do not
                labels = frame.labels[frame.instance == instance]
                labels = set(labels[labels != 0].tolist())
                assert labels <= {MOVABLE, MOVING} and len(labels) <= 1
                if speed > MOVING_FROM + 0.5:
                    assert labels <= {MOVING}
                    moved += 1
                elif speed < MOVING_UNTIL - 0.3:
                    assert labels <= {MOVABLE}
        scenery = ~is_participant(frame.kind) & (frame.labels != 0)
        assert (frame.labels[scenery] == STATIC).all()
    assert moved > 3


def test_elevations_of_returns_match_the_beam_table():
    drive = make_drive(3, "hdl64e", duration_s=0.2, scene="street")
    points = drive[1].scan.points
    elevation = np.rad2deg(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
    table = np.array(SENSORS["hdl64e"].elevations_deg)
    off = np.abs(elevation[:, None] - table).min(axis=1)
    assert off.max() < 0.2  # each specimen's beams are off by some hundredths of a degree
    assert np.unique(np.round(elevation, 3)).size <= 3 * 64
    assert 60_000 < len(points) <= 64 * 2083


def test_scenery_stays_where_it_is_in_the_world():
    drive = make_drive(11, "hdl32e", duration_s=2.0, rate_hz=2.0, scene="street", ego="driving",
                       movers=False)  # fmt: skip
    frames = list(drive)
    assert np.linalg.norm(frames[-1].true_pose[:3, 3] - frames[0].true_pose[:3, 3]) > 2
    heights = []
    for frame in frames:
        pose = frame.true_pose
        world = frame.scan.points.astype(float) @ pose[:3, :3].T + pose[:3, 3]
        road = frame.kind == Kind.ROAD
        heights.append(world[road, 2] - drive.world.ground.height(*world[road, :2].T))
    assert np.abs(np.concatenate(heights)).max() < 0.15


def test_poses_are_noisy_but_near_the_truth_and_exact_on_request():
    noisy, exact = (
        make_drive(2, "vlp16", duration_s=3.0, ego="driving", odometry_noise=n)
        for n in (True, False)
    )
    truth = invert(exact.true_base_poses[0]) @ exact.true_base_poses
    np.testing.assert_allclose(exact.base_poses, truth, atol=1e-9)
    off = np.linalg.norm(noisy.base_poses[:, :3, 3] - truth[:, :3, 3], axis=1)
    assert 0.002 < off.mean() < 1.0
    mount = noisy.base_T_sensor
    np.testing.assert_allclose(noisy[4].scan.pose, noisy.base_poses[4] @ mount, atol=1e-9)


def test_half_of_the_kitti_sensors_stand_at_kittis_height():
    heights = [make_drive(s, duration_s=0.1).base_T_sensor[2, 3] for s in range(30)]
    assert 0.2 < np.mean(np.isclose(heights, 1.73)) < 0.8
    assert min(heights) >= 1.5 and max(heights) <= 2.3


def test_ego_modes_are_what_they_say():
    def travel(ego: str) -> float:
        ways = []
        for seed in range(4):
            poses = make_drive(seed, "vlp16", duration_s=5.0, scene="street", movers=False,
                               ego=ego).true_base_poses  # fmt: skip
            ways.append(np.linalg.norm(poses[-1][:2, 3] - poses[0][:2, 3]))
        return float(np.median(ways))

    assert travel("standing") < 0.01
    assert 0.3 < travel("creeping") < 14
    assert travel("driving") > 14


def test_distortion_needs_motion():
    options = {"sensor": "vlp16", "duration_s": 1.0, "scene": "street", "movers": False}
    still = [make_drive(4, ego="standing", sweep=s, **options)[3] for s in (AT_ONCE, DISTORTED)]
    # Somebody may wave meanwhile; nothing else changes.
    rows = [set(map(tuple, np.round(f.scan.points, 3).tolist())) for f in still]
    assert len(rows[0] & rows[1]) > 0.98 * len(rows[0])
    moved = 0
    for seed in range(3):  # one of them may be waiting
        drives = [make_drive(seed, ego="driving", sweep=s, **options) for s in (AT_ONCE, DISTORTED)]
        steps = np.linalg.norm(np.diff(drives[0].true_base_poses[:, :3, 3], axis=0), axis=1)
        index = int(steps.argmax())
        if steps[index] < 0.3:
            continue
        moved += 1
        frames = [d[index] for d in drives]  # even roads and long fronts look the same all along
        uneven = [~np.isin(f.kind, (Kind.ROAD, Kind.BUILDING)) for f in frames]
        rest = [f.scan.points[u] for f, u in zip(frames, uneven, strict=True)]
        points = [set(map(tuple, np.round(p, 3).tolist())) for p in rest]
        assert len(points[0] & points[1]) < 0.1 * len(points[0])
    assert moved


@pytest.mark.parametrize("sensor", ["vlp16", "mid360"])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_times_of_the_points_follow_the_turning_head(sensor, fraction):
    options = {"sensor": sensor, "duration_s": 0.1, "sweep": SweepTiming(True, fraction)}
    drive = make_drive(2, **options)
    frame = drive[0]
    assert frame.seconds.shape == frame.labels.shape
    sweep = drive.sensor.sweep_s
    assert frame.seconds.min() == pytest.approx(-fraction * sweep, abs=0.1 * sweep)
    assert frame.seconds.max() == pytest.approx((1 - fraction) * sweep, abs=0.1 * sweep)
    if drive.sensor.beams:  # clockwise from the back
        ahead = np.abs(np.arctan2(frame.scan.points[:, 1], frame.scan.points[:, 0])) < 0.01
        middle = frame.seconds[ahead] + fraction * sweep
        np.testing.assert_allclose(middle, sweep / 2, atol=0.01 * sweep)
    assert not make_drive(2, sensor=sensor, duration_s=0.1)[0].seconds.any()


@pytest.mark.parametrize("attitude", [(0, 90, 0), (0, -45, 0), (90, 0, 0), (180, 0, 0)])
def test_a_lidar_sits_where_it_is_mounted(attitude):
    options = {"duration_s": 0.2, "scene": "street", "odometry_noise": False}
    low = make_drive(3, mounted(find_sensor("os1_64"), 1.0, attitude), **options)
    np.testing.assert_allclose(low.base_T_sensor[:3, 3], [0, 0, 1.0])
    points = low[1].scan.points @ low.base_T_sensor[:3, :3].T + low.base_T_sensor[:3, 3]
    assert len(points) > 10_000
    near = points[np.linalg.norm(points[:, :2], axis=1) < 5]
    assert abs(np.quantile(near[:, 2], 0.1)) < 0.1  # the ground is where it was
    # The beams are turned, not only the frame.
    usual = make_drive(3, mounted(find_sensor("os1_64"), 1.0), **options)
    assert len(usual[1].scan.points) != len(points)


def test_training_drives_have_mounts_of_all_kinds():
    rng, usual = np.random.default_rng(0), find_sensor("vlp16")
    drawn = [mounted_anyhow(usual, rng, 0.5, 0.3) for _ in range(400)]
    heights = [s.mount[0] for s in drawn if s.mount != usual.mount]
    assert 150 < len(heights) < 250 and min(heights) < 0.35 and max(heights) > 2.2
    leaning = [s.attitude_deg for s in drawn if any(s.attitude_deg)]
    assert 80 < len(leaning) < 160
    assert mounted_anyhow(usual, rng, 0.0, 0.0) == usual
