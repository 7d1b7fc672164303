"""Whatever the mount, the grid sits on the ground: tilted, turned and upside-down sensors."""

import numpy as np
import pytest

from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.geometry.transforms import invert, make_transform, transform
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmenter
from kdmos_ros.sim import make_drive

SPEC = FeatureSpec(
    point=("rho", "phi", "height", "z", "visibility"),
    visibility=VisibilitySpec(lags_s=(0.2,)),
)
MOUNTS = {
    "low": "0 0 0.4",
    "on a truck": "0 0 3.2",
    "turned": "0 0 1.7 0 0 1.6",
    "nose down": "0 0 1.7 0 0.35 0",
    "leaning": "0 0 1.7 0.2 -0.1 0.5",
    "upside down": "0 0 1.7 3.14159265 0 0",
    "upside down and leaning": "0 0 2.2 3.0 0.2 -2.0",
    "off centre": "1.2 -0.4 1.7 0.05 0.1 0.3",
}  # fmt: skip


def world(rng):
    """Flat ground with a wall around, base frame; then a person of 1.8 m, 10 m ahead."""
    r, a = np.meshgrid(np.geomspace(2.5, 45, 60), np.linspace(-np.pi, np.pi, 900, endpoint=False))
    ground = np.stack([r * np.cos(a), r * np.sin(a), 0 * r], -1).reshape(-1, 3)
    a = rng.uniform(-np.pi, np.pi, 80_000)
    wall = np.stack([46 * np.cos(a), 46 * np.sin(a), rng.uniform(0, 9, len(a))], -1)
    z = np.linspace(0.2, 1.8, 40)
    person = np.stack([10 + 0 * z, 0.3 * np.sin(20 * z), z], -1)
    return np.concatenate([ground, wall]), person


def seen(points, mount):
    """The points in the sensor's frame; what is far above or below it is not seen."""
    local = transform(invert(mount), points)
    elevation = np.arctan2(local[:, 2], np.hypot(local[:, 0], local[:, 1]))
    local[np.abs(elevation) > np.radians(38)] = np.nan
    return local.astype(np.float32)


@pytest.mark.parametrize("name", MOUNTS)
def test_heights_are_over_the_ground_and_movement_is_seen(name):
    mount = parse_transform(MOUNTS[name])
    scene, person = world(np.random.default_rng(0))
    extractor = FeatureExtractor(PolarGrid(), SPEC, mount)
    extractor.push(Scan(seen(scene, mount), None, 0, mount))
    points = seen(np.concatenate([scene, person]), mount)
    frame = extractor.push(Scan(points, None, 200_000_000, mount))

    rho, phi, height, z, near, _far = frame.point.T
    truth = np.concatenate([scene, person])[frame.index]
    # The grid is centred below the sensor, its axes are those of the base.
    dx, dy = truth[:, 0] - mount[0, 3], truth[:, 1] - mount[1, 3]
    np.testing.assert_allclose(rho, np.hypot(dx, dy), atol=1e-3)
    off = np.abs(np.exp(1j * phi) - np.exp(1j * np.arctan2(dy, dx)))  # -pi is +pi
    assert off.max() < 1e-3
    np.testing.assert_allclose(z, truth[:, 2], atol=1e-3)
    assert np.abs(height - truth[:, 2])[truth[:, 2] < 4].max() < 0.05
    is_person = frame.index >= len(scene)
    assert is_person.sum() > 30
    assert (near[is_person] == 1).all(), "the place was seen free"
    assert np.mean(near[~is_person] == 1) < 0.01


TURNS = {
    "turned": "0 0 1.6",
    "upside down": "3.14159265 0 0",
    "upside down and leaning": "3.0 0.2 -2.0",
    "nose down 45": "0 0.785398 0",
    "nose up 60": "0 -1.047198 0",
    "nose down 90": "0 1.570796 0",
    "on its side": "1.570796 0 0",
}  # fmt: skip


@pytest.mark.parametrize("name", TURNS)
def test_labels_do_not_depend_on_how_the_sensor_is_turned(name, tiny_model):
    """The same returns, as a sensor at the same place but turned would report them."""
    turn = parse_transform("0 0 0 " + TURNS[name])
    # Standing: rounding moves points of growth across the edges of bins when poses differ as well.
    drive = make_drive(
        3, sensor="vlp16", duration_s=0.6, rate_hz=5.0, ego="standing", odometry_noise=False
    )
    straight, turned = (
        Segmenter(tiny_model, provider="cpu", num_threads=1, mount=mount)
        for mount in (drive.base_T_sensor, drive.base_T_sensor @ turn)
    )
    for frame in drive:
        scan = frame.scan
        points = transform(invert(turn), scan.points)
        a = straight.push(scan)
        b = turned.push(Scan(points, scan.intensity, scan.stamp_ns, scan.pose @ turn))
    assert np.mean(a.labels == b.labels) > 0.998
    assert np.abs(a.moving_probability - b.moving_probability).mean() < 1e-3


def test_a_wrong_mount_is_not_forgiven(tiny_model):
    """The test above can fail: without the turn in the mount, the answer is another one."""
    turn = make_transform(parse_transform(MOUNTS["upside down"])[:3, :3], [0, 0, 0])
    frame = make_drive(3, sensor="vlp16", duration_s=0.2, rate_hz=5.0)[0]
    mount = make_transform(np.eye(3), [0, 0, 1.5])
    points = transform(invert(turn), frame.scan.points)
    scan = Scan(points, frame.scan.intensity, frame.scan.stamp_ns, frame.scan.pose)
    right = Segmenter(tiny_model, provider="cpu", num_threads=1, mount=mount @ turn).push(scan)
    wrong = Segmenter(tiny_model, provider="cpu", num_threads=1, mount=mount).push(scan)
    assert np.mean(right.labels == wrong.labels) < 0.95
