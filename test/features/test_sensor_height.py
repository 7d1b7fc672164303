"""The LiDAR's height above the ground, from the ground that it sees."""

import numpy as np
import pytest

from kdmos_ros.features.sensor_height import GroundHeight, sensor_height
from kdmos_ros.sim import make_drive


def scene(height, seed=0, walls=True):
    rng = np.random.default_rng(seed)
    ground = np.column_stack([rng.uniform(-15, 15, (4000, 2)), rng.normal(-height, 0.02, 4000)])
    bearing = rng.uniform(-np.pi, np.pi, 3000)
    wall = np.column_stack(
        [6 * np.cos(bearing), 6 * np.sin(bearing), rng.uniform(-height, 2, len(bearing))]
    )
    return np.concatenate([ground, wall] if walls else [ground]).astype(np.float32)


@pytest.mark.parametrize("height", [0.3, 0.8, 1.73, 2.5])
@pytest.mark.parametrize("walls", [False, True])
def test_height_above_flat_ground(height, walls):
    assert sensor_height(scene(height, walls=walls)) == pytest.approx(height, abs=0.06)


@pytest.mark.parametrize(("seed", "sensor"), [(0, "hdl64e"), (1, "hdl64e"), (2, "vlp16")])
def test_height_on_simulated_streets(seed, sensor):
    drive = make_drive(seed, sensor, duration_s=0.3)
    true = drive.base_T_sensor[2, 3]
    ground = GroundHeight()
    heights = [ground.observe(frame.scan.points) for frame in drive]
    assert heights[-1] == pytest.approx(true, abs=0.25)  # streets are not flat


@pytest.mark.parametrize("points", [np.zeros((10, 3)), np.full((10, 3), np.nan), np.zeros((0, 3))])
def test_nothing_seen_of_the_ground(points):
    assert sensor_height(points.astype(np.float32)) is None


def test_no_ground_but_clutter():
    points = np.random.default_rng(0).uniform(-20, 20, (500, 3)).astype(np.float32)
    assert sensor_height(points) is None


def test_the_first_scans_fix_the_height():
    ground = GroundHeight()
    for seed in range(10):
        ground.observe(scene(1.8, seed))
    before = ground.observe(scene(1.8))
    for seed in range(20):
        assert ground.observe(scene(0.5, seed)) == before
