"""A ceiling is found in one scan and left out of the cells."""

import numpy as np
import pytest

from kdmos_ros.features.ceiling import ceiling_height
from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.point_coordinates import level_mount, place
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.labels import STATIC
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmenter
from kdmos_ros.sim import make_drive

GRID = PolarGrid()
MOUNT = parse_transform("0 0 0.8")


def top_of(drive):
    return place(drive[0].scan.points, level_mount(drive.base_T_sensor), GRID).top


@pytest.mark.parametrize("sensor", ["mid360", "os1_64"])
@pytest.mark.parametrize("seed", range(3))
def test_a_hall_has_a_ceiling(sensor, seed):
    drive = make_drive(seed, sensor, 0.1, scene="hall", odometry_noise=False)
    at = place(drive[0].scan.points, level_mount(drive.base_T_sensor), GRID)
    assert at.top == pytest.approx(np.nanpercentile(at.height, 99) - 0.25, abs=0.15)


@pytest.mark.parametrize("sensor", ["mid360", "os1_128", "hdl64e"])
@pytest.mark.parametrize("scene", ["street", "field", "pavement"])
def test_the_open_sky_is_no_ceiling(sensor, scene):
    assert top_of(make_drive(1, sensor, 0.1, scene=scene)) == np.inf


def surface(rho, phi, height):
    """Points above flat ground, as `ceiling_height` takes them; the sensor is 1 m above it."""
    height, rho, phi = (np.broadcast_arrays(height, rho, phi)[k].ravel() for k in range(3))
    return [np.asarray(a, np.float32) for a in (height, height - 1.0, rho, phi)]


RHO, PHI = np.meshgrid(np.linspace(1, 10, 60), np.linspace(-3.1, 3.1, 240))


def test_the_height_is_that_of_the_flat_surface():
    assert ceiling_height(*surface(RHO, PHI, 3.0)) == pytest.approx(2.75, abs=0.01)


@pytest.mark.parametrize(
    "rho, height",
    [
        (RHO, 1.0 + 0.3 * RHO),  # whatever stands there, cut off by the highest beam
        (6.0 + 0 * RHO, 1.0 + 0.3 * RHO),  # a round wall that ends at one height
        (RHO, 4 + 1.5 * np.sin(5 * PHI) + np.sin(RHO)),  # crowns of trees
        (RHO, 1.9),  # too low to stand under
        (RHO, 30.0),
        (RHO, np.nan),
    ],
)
def test_other_surfaces_are_no_ceiling(rho, height):
    assert ceiling_height(*surface(rho, PHI, height)) == np.inf


def test_a_roof_over_one_side_is_no_ceiling():
    side = PHI[PHI > 2.0], RHO[PHI > 2.0]
    assert ceiling_height(*surface(side[1], side[0], 3.0)) == np.inf


def room(person):
    """A floor, a wall around, a ceiling at 3 m, and a person 5 m ahead or not."""
    x, y = RHO * np.cos(PHI), RHO * np.sin(PHI)
    parts = [np.stack([x, y, np.full_like(x, z - 0.8)], -1).reshape(-1, 3) for z in (0.0, 3.0)]
    phi, z = (grid.ravel() for grid in np.meshgrid(PHI[:, 0], np.linspace(-0.7, 1.5, 20)))
    parts.append(np.stack([9.9 * np.cos(phi), 9.9 * np.sin(phi), z], -1))
    if person:
        z = np.linspace(-0.6, 0.9, 60)
        parts.append(np.stack([5 + 0 * z, 0.2 * np.sin(20 * z), z], -1))
    return np.concatenate(parts).astype(np.float32)


def test_who_comes_under_a_ceiling_raises_the_cell():
    spec = FeatureSpec(height_residuals=True, visibility_map=False)
    extractor = FeatureExtractor(GRID, spec, MOUNT)
    pose = MOUNT
    extractor.push(Scan(room(False), None, 0, pose))
    frame = extractor.push(Scan(room(True), None, 200_000_000, pose))
    arrived = frame.motion[:, 0]
    assert 1.2 < arrived.max() < 1.8
    assert frame.point[:, spec.point.index("height")].max() < 2.75
    assert len(frame.overhead) == np.count_nonzero(
        (np.hypot(*room(True)[:, :2].T) >= GRID.rho_min) & (room(True)[:, 2] > 2)
    )
    assert not np.isin(frame.overhead, frame.index).any()


def test_a_ceiling_stands(tiny_model):
    segmenter = Segmenter(tiny_model, provider="cpu", num_threads=1, mount=MOUNT)
    labels = segmenter.push(Scan(room(False), None, 0, MOUNT)).labels
    far = np.hypot(*room(False)[:, :2].T) > segmenter.spec.grid.rho_min + 0.01
    assert (labels[(room(False)[:, 2] > 2) & far] == STATIC).all()
