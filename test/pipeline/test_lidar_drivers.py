"""Clouds in the exact layout of each driver, deskewed with no option set: docs/your_lidar.md."""

from pathlib import Path

import numpy as np
import pytest
from driver_harness import DRIVERS, drive

from kdmos_ros.pointcloud.sensor_files import sensor_options

PAGE = (Path(__file__).parents[2] / "docs" / "your_lidar.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", [False, True], ids=["no option", "preset"])
@pytest.mark.parametrize("name", DRIVERS)
def test_points_are_where_they_were_at_the_stamp(name, preset):
    sensor, full = DRIVERS[name][4:]
    if preset and not sensor:
        pytest.skip("has no preset")
    options = sensor_options(sensor) if preset else {"intensity_scale": float(full)}
    options = {**options, "min_range": 0.0}
    sweeps = 24 if name == "Firing order, no time" else 4  # which is measured first
    scan, right, came, whole, bench = drive(name, options, sweeps)
    if "Ring after ring" in name or name in ("Gazebo", "Livox, older drivers"):
        np.testing.assert_array_equal(scan, came)  # left as they come
        assert bench.pipeline.figures()["deskew"].startswith("off: ")
    else:
        # An order tells the time to the width of a beam, and not where the stamp is.
        error = np.linalg.norm(scan - right, axis=1)
        assert np.quantile(error, 0.98) < (0.05 if DRIVERS[name][1] else 0.15)
        assert np.linalg.norm(came - right, axis=1).max() > 0.4
        assert bench.pipeline.figures()["deskew"].startswith("on")
    assert whole.intensity[1:-1] == pytest.approx(0.4, abs=0.01)


def test_each_row_is_checked():
    section = PAGE.split("## By LiDAR driver")[1].split("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")]
    checked_elsewhere = {"Livox, CustomMsg"}  # test/io/test_livox.py
    assert set(rows[1:]) == set(DRIVERS) | checked_elsewhere
