"""Times in other units, epochs and clocks than usual: taken as they are meant, or told plainly."""

import numpy as np
import pytest
from driver_harness import DRIVERS, EPOCH_S, cloud, drive

from kdmos_ros.errors import ReasonedError


def run(monkeypatch, layout, field, times, **options):
    monkeypatch.setitem(DRIVERS, "unusual", (layout, field, times, 0.0, "", 255))
    return drive("unusual", {"intensity_scale": 255.0, **options})


def check(scan, right, bench, lost=0):
    error = np.linalg.norm(scan - right, axis=1)
    assert np.count_nonzero(~np.isfinite(error)) == lost
    assert np.nanquantile(error, 0.98) < 0.05
    assert bench.pipeline.figures()["deskew"] == "on"
    assert bench.logger.lines == []


UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_integers_from_the_stamp(monkeypatch, unit):
    scan, right, _, _, bench = run(
        monkeypatch, "ouster_organised", "t", lambda s, _: np.round(s * UNITS[unit])
    )
    check(scan, right, bench)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("since_s", [0.0, EPOCH_S])
def test_float64_since_1970_or_the_stamp(monkeypatch, unit, since_s):
    def times(seconds, stamp_s):
        return (seconds.astype(np.float64) + (stamp_s if since_s else 0.0)) * UNITS[unit]

    scan, right, _, _, bench = run(monkeypatch, "hesai", "timestamp", times)
    check(scan, right, bench)


@pytest.mark.parametrize("stray", [0.0, -1e300, 1e18, EPOCH_S + 1e4])
def test_a_single_absurd_time_costs_one_point(monkeypatch, stray):
    def times(seconds, stamp_s):
        values = stamp_s + seconds.astype(np.float64)
        values[1000] = stray
        return values

    scan, right, _, _, bench = run(monkeypatch, "hesai", "timestamp", times)
    check(scan, right, bench, lost=1)


def test_float32_since_1970_is_told(monkeypatch):
    _, _, _, _, bench = run(monkeypatch, "velodyne", "time", lambda s, t: s + t)
    (line,) = bench.logger.lines
    assert "field 'time'" in line and "float32 cannot hold times since 1970" in line
    assert bench.pipeline.figures()["deskew"].startswith("off: field 'time'")


@pytest.mark.parametrize("ahead_s", [37.0, -1_000_000.0])
def test_times_on_another_clock_than_the_stamp_are_told(monkeypatch, ahead_s):
    def times(seconds, stamp_s):
        return seconds.astype(np.float64) + stamp_s + ahead_s

    _, _, _, _, bench = run(monkeypatch, "hesai", "timestamp", times)
    (line,) = bench.logger.lines
    assert "two clocks?" in line and "time_base" in line
    scan, right, _, _, bench = run(monkeypatch, "hesai", "timestamp", times, time_base="start")
    check(scan, right, bench)


def test_clouds_on_another_clock_than_the_poses_are_told(monkeypatch):
    _, _, _, _, bench = run(monkeypatch, "velodyne", "time", lambda s, _: s)
    message = cloud("velodyne", {name: np.ones(10) for name in "xyz"})
    with pytest.raises(ReasonedError, match=r"the clouds are 3\d\.\d s ahead of .*two clocks\?"):
        bench.process(EPOCH_S + 39.0, message)
