"""Whether times are right, told from how neighbouring sweeps fit together."""

import numpy as np
import pytest
from cloud_harness import make_cloud
from pipeline_harness import SECOND, Bench
from sweep_harness import PERIOD_S, course, scene, sweep

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.poses.extrinsics import FixedExtrinsics

WORLD = scene()
MOUNT = make_transform(np.eye(3), [0, 0, 1.5])


def message(points, seconds=None, shift=0.0):
    values = dict(zip("xyz", points.T, strict=True))
    if seconds is None:
        return make_cloud("plain_xyz", len(points), values=values)[0]
    values |= {"time": seconds + shift, "intensity": np.zeros(len(points))}
    return make_cloud("velodyne", len(points), values=values)[0]


class Drive:
    """Sweeps one after the other into a pipeline, with exact odometry at 50 Hz."""

    def __init__(self, speed=10.0, swing=0.0, start=0.0, **options):
        self.bench = Bench(
            FixedExtrinsics(MOUNT),
            **{"deskew": "auto", "max_points": 20_000, "intensity_scale": 255.0, **options},
        )
        self.motion = {"speed": speed, "swing": swing, "start": start}
        for time in np.arange(0.0, 9.0, 0.02):
            base = course(time, **self.motion) @ make_transform(np.eye(3), [0, 0, -1.5])
            self.bench.poses.add(round((100 + time) * SECOND), base)

    def sweeps(self, n, timed=True, shift=0.0, first=1, drift=0.0, **options):
        for i in range(first, first + n):
            time = i * PERIOD_S
            seam = np.pi + drift * i
            points, seconds = sweep(WORLD, time, seam=seam, **options, **self.motion)
            cloud = message(points, seconds if timed else None, shift)
            self.bench.process(100 + time, cloud)
        return points

    @property
    def state(self):
        return self.bench.pipeline.figures()["deskew"]

    @property
    def lines(self):
        return self.bench.logger.lines


def test_right_times_stay_and_cost_no_word():
    drive = Drive()
    drive.sweeps(16)
    assert drive.state == "on: 5 pairs of sweeps fit together when deskewed"
    assert drive.lines == []


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_clouds_that_are_deskewed_already_but_keep_their_times(drift):
    drive = Drive()
    points = drive.sweeps(16, deskewed=True, drift=drift)
    assert drive.state.startswith("off: ")
    assert drive.state.endswith("pairs of sweeps fit together as they come, and not deskewed")
    (line,) = drive.lines
    assert line.startswith("the clouds are no longer deskewed: ")
    np.testing.assert_array_equal(drive.bench.segmenter.scans[-1].points, points)


def test_past_scans_follow_when_it_turns_out_how_they_were_taken():
    drive = Drive()
    drive.sweeps(16, deskewed=True)
    calls = drive.bench.segmenter.calls
    at = calls.index("reset")
    assert calls[at + 1 :].count("push") > 16 - at, "the scans before come again"
    scans = drive.bench.segmenter.scans
    again = scans[at]
    first = scans[0]
    assert again.stamp_ns == first.stamp_ns
    assert not np.allclose(again.points, first.points, atol=0.1)
    stamps = [scan.stamp_ns for scan in scans[at:]]
    assert stamps == sorted(set(stamps))


def test_nothing_is_decided_while_the_robot_stands_and_it_is_when_it_drives():
    drive = Drive(start=1.0)
    drive.sweeps(9, deskewed=True)
    assert drive.state == "on"
    drive.sweeps(16, deskewed=True, first=10)
    assert drive.state.startswith("off: ")


@pytest.mark.parametrize(
    ("stamp_at", "shift", "found"),
    [
        (1.0, PERIOD_S, "end"),  # Ouster with the time of reception: counted from the first column
        (0.0, -PERIOD_S, "start"),
        (0.5, PERIOD_S / 2, "middle"),
        (0.0, 0.0, ""),
        (1.0, 0.0, ""),
    ],
)
def test_the_stamps_place_in_the_sweep_is_found_from_turns(stamp_at, shift, found):
    drive = Drive(speed=6.0, swing=0.6)
    drive.sweeps(40, stamp_at=stamp_at, shift=shift)
    if found:
        (line,) = drive.lines
        assert line.startswith(f"the clouds are deskewed as with time_base {found} from now on: ")
        assert f"if the stamp is at the sweep's {found}" in drive.state
    else:
        assert drive.lines == []
        assert drive.state.startswith("on")


def test_a_stamp_that_somebody_set_is_left_alone():
    drive = Drive(speed=6.0, swing=0.6, time_base="start")
    drive.sweeps(40, stamp_at=1.0)
    assert drive.lines == []
    assert drive.state.startswith("on")


def test_a_straight_course_does_not_tell_the_stamp():
    drive = Drive()
    drive.sweeps(40, stamp_at=1.0, shift=PERIOD_S)
    assert drive.lines == []


def test_deskew_true_measures_nothing():
    drive = Drive(deskew="true")
    drive.sweeps(16, deskewed=True)
    assert (drive.state, drive.lines) == ("on", [])


# -- no time field -------------------------------------------------------------------------------


@pytest.mark.parametrize("drift", [0.0, 0.5, -0.3])
def test_times_of_a_spinning_lidar_are_taken_from_the_order_of_its_firings(drift):
    drive = Drive()
    points = drive.sweeps(16, timed=False, drift=drift)
    assert drive.state == "on: 5 pairs of sweeps fit together when deskewed"
    (line, found) = drive.lines
    assert "no time of each point: it is taken from the order of the points" in line
    why = "the order of the points is that" if drift else "5 pairs of sweeps"
    assert found.startswith(f"the clouds are deskewed from now on: {why}")
    assert not np.allclose(drive.bench.segmenter.scans[-1].points, points, atol=0.1)


def test_deskewed_clouds_in_the_order_of_the_firings_are_found_out():
    drive = Drive()
    points = drive.sweeps(16, timed=False, deskewed=True, drift=0.5)
    assert "pairs of sweeps fit together as they come" in drive.state
    np.testing.assert_array_equal(drive.bench.segmenter.scans[-1].points, points)
