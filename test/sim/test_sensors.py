"""Beam tables and rays."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.sim.sensors import SENSORS, draw_blind_zone, find_sensor, make_rays

NO_ERROR = {name: np.zeros(s.beams, np.float32) for name, s in SENSORS.items()}


def test_unknown_sensor_is_named():
    with pytest.raises(KdmosError, match=r"no sensor 'hdl65'.*hdl64e"):
        find_sensor("hdl65")


def test_hdl64e_has_the_two_blocks_of_its_manual():
    table = np.array(find_sensor("hdl64e").elevations_deg)
    assert len(table) == 64
    assert table[[0, 31, 32, 63]] == pytest.approx([-24.33, -8.83, -8.33, 2.0])
    np.testing.assert_allclose(np.diff(table[:32]), 0.5, atol=1e-6)
    np.testing.assert_allclose(np.diff(table[32:]), 1 / 3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "beams"), [("hdl32e", 32), ("vlp16", 16), ("os1_64", 64), ("os1_128", 128),
                        ("pandar40", 40), ("vls128", 128), ("pandar128", 128)]
)  # fmt: skip
def test_number_of_beams(name, beams):
    sensor = find_sensor(name)
    assert sensor.beams == beams
    assert list(sensor.elevations_deg) == sorted(sensor.elevations_deg)


@pytest.mark.parametrize(("name", "finest"), [("vls128", 0.11), ("pandar128", 0.125)])
def test_dense_sensors_are_finest_about_the_horizon(name, finest):
    table = np.array(find_sensor(name).elevations_deg)
    assert (table[0], table[-1]) == (-25.0, 15.0)
    steps = np.diff(table)
    assert steps.min() == pytest.approx(finest, abs=1e-3)
    np.testing.assert_allclose(steps[(table[:-1] >= -5.9) & (table[1:] <= 1.9)], finest, atol=1e-3)


def test_a_sweep_begins_at_its_seam_and_goes_round_once():
    sensor = SENSORS["pandar128"]
    for seam in (-2.0, 0.3, 3.0, 40.0):
        rays = make_rays(sensor, np.random.default_rng(0), NO_ERROR["pandar128"], seam)
        azimuth = np.arctan2(rays.directions[:, 1], rays.directions[:, 0])
        turned = (seam - azimuth) % (2 * np.pi)  # clockwise from the seam
        off = np.abs(rays.fractions - turned / (2 * np.pi))
        assert np.minimum(off, 1 - off).max() < 1e-4
        assert rays.fractions.max() < 1.0001 and rays.fractions.max() - rays.fractions.min() > 0.999


@pytest.mark.parametrize("name", SENSORS)
def test_bins_hold_rays_of_their_azimuth_by_rising_elevation(name):
    sensor = SENSORS[name]
    rays = make_rays(sensor, np.random.default_rng(3), NO_ERROR[name])
    starts = rays.bin_start
    assert starts[0] == 0 and starts[-1] == len(rays.directions)
    np.testing.assert_allclose(np.linalg.norm(rays.directions, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.arcsin(rays.directions[:, 2]), rays.elevations, atol=1e-4)
    assert rays.fractions.min() >= 0 and rays.fractions.max() <= 1
    bins = len(starts) - 1
    owner = np.repeat(np.arange(bins), np.diff(starts))
    middle = rays.first_azimuth + owner * 2 * np.pi / bins
    azimuth = np.arctan2(rays.directions[:, 1], rays.directions[:, 0])
    off = (azimuth - middle + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(off).max() <= np.pi / bins + 1e-5
    rising = np.diff(rays.elevations) >= 0
    assert rising[np.diff(owner) == 0].all()


def test_the_rosette_never_looks_twice_along_the_same_rays():
    sensor = SENSORS["mid360"]
    rng = np.random.default_rng(0)
    first, second = (make_rays(sensor, rng, NO_ERROR["mid360"]).directions for _ in range(2))
    cells = [set(map(tuple, np.round(d * 500).astype(int))) for d in (first, second)]
    assert len(cells[0] & cells[1]) < 0.3 * len(cells[0])


def test_a_forward_looking_rosette_sees_nothing_else():
    directions = make_rays(SENSORS["avia"], np.random.default_rng(0), NO_ERROR["avia"]).directions
    azimuth = np.rad2deg(np.arctan2(directions[:, 1], directions[:, 0]))
    assert azimuth.min() == pytest.approx(-35.2, abs=0.1)
    assert azimuth.max() == pytest.approx(35.2, abs=0.1)


def test_blind_zones_hide_only_steep_beams():
    sensor = SENSORS["hdl64e"]
    zones = [draw_blind_zone(sensor, np.random.default_rng(s)) for s in range(40)]
    assert any(z is None for z in zones)
    drawn = np.rad2deg(np.array([z for z in zones if z is not None]))
    assert drawn.shape[1] == 360
    assert drawn.max() < sensor.elevations_deg[0] + 9
    assert (drawn.max(axis=1) > sensor.elevations_deg[0]).all()
