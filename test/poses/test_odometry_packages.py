"""Drives as the usual odometry packages record them, with no option set: docs/your_lidar.md.

Each row of the second table there is a row here.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import odometry_packages as packages
import pytest
from drive_harness import write_bag

from kdmos_ros.commands._pose_options import pose_source
from kdmos_ros.errors import KdmosError, ReasonedError
from kdmos_ros.geometry.transforms import invert
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pipeline.replay import bag_localizer
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.poses.pose_source import StampedCloud

PAGE = Path(__file__).parents[2] / "docs" / "your_lidar.md"
DRIVE = packages.small_drive()


@dataclass
class Row:
    """What becomes of a package's recording.

    Attributes:
        name: in the page.
        made: by which function.
        source, which: where poses come from, and its topic or fixed frame.
        said: a part of the one line about it; empty: there is nothing to say.
        unlabelled: clouds without a pose.
    """

    name: str
    made: object
    source: str
    which: str
    said: str = ""
    unlabelled: int = 0


ROWS = [
    Row("KISS-ICP", packages.kiss_icp, "odometry", "/kiss/odometry"),
    Row("KISS-ICP", packages.kiss_icp_tf_alone, "tf", "odom_lidar", "odom_lidar -> velodyne"),
    Row("GenZ-ICP", packages.genz_icp, "tf", "odom", "/genz/odometry, child frame not named"),
    # Its poses are those of the sweeps' ends.
    Row("RKO-LIO", packages.rko_lio, "odometry", "/rko_lio/odom", unlabelled=1),
    Row("FAST-LIO", packages.fast_lio, "odometry", "/Odometry"),
    Row("LIO-SAM", packages.lio_sam, "tf", "odom", "child frame odom_mapping"),
    Row("RTAB-Map", packages.rtabmap, "odometry", "/rtabmap/odom", "1 broken pose"),
    Row("robot_localization", packages.robot_localization, "tf", "odom", "/odometry/filtered"),
    Row("wheel odometry", packages.wheels, "odometry", "/diff_drive_controller/odom"),
    Row("motion capture", packages.motion_capture, "odometry", "/vrpn_mocap/robot/pose", "PoseSt"),
]  # fmt: skip


def located(bag):
    """Stamp and Location of each cloud; None where there is none."""
    options = SimpleNamespace(base_to_lidar=None, threads=1)
    localizer = bag_localizer(bag, pose_source(options, bag))
    for stamp_ns, message in bag.clouds():
        cloud = StampedCloud(stamp_ns, message.header.frame_id, decode(message).points)
        try:
            yield stamp_ns, localizer.locate(cloud)
        except ReasonedError:
            yield stamp_ns, None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.made.__name__)
def test_default_is_right(tmp_path, row):
    with BagReader(write_bag(tmp_path / "bag", row.made(DRIVE)), pose_source="auto") as bag:
        assert (bag.pose_source, bag.odom_topic or bag.fixed_frame) == (row.source, row.which)
        assert row.said in " ".join(bag.notes)
        assert len(bag.notes) == bool(row.said)
        found = [(stamp, place) for stamp, place in located(bag) if place is not None]
    assert len(found) == len(DRIVE.stamps) - row.unlabelled
    begin, first = found[0]
    for stamp, place in found[1:]:
        true = invert(DRIVE.lidar(begin)) @ DRIVE.lidar(stamp)
        np.testing.assert_allclose(invert(first.pose) @ place.pose, true, atol=0.01)
        assert place.base_T_lidar[2, 3] == pytest.approx(1.8, abs=0.1)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (packages.fast_lio_registered_alone, "registered already.*/cloud_registered_body"),
        (packages.fast_lio_raw, "'body' to 'livox_frame'.*--base-to-lidar"),
    ],
)
def test_one_line_says_what_is_missing(tmp_path, made, said):
    with pytest.raises(KdmosError, match=said):
        BagReader(write_bag(tmp_path / "bag", made(DRIVE)), pose_source="auto")


def test_mount_on_an_imu_leaves_the_ground_where_it_is(tmp_path):
    """FAST-LIO's poses with the clouds of the driver: the IMU is as high as the LiDAR."""
    path = write_bag(tmp_path / "bag", packages.fast_lio_raw(DRIVE))
    with BagReader(path, base_T_sensor=np.eye(4), pose_source="auto") as bag:
        found = [place for _, place in located(bag) if place is not None]
    assert found
    for place in found:
        assert place.base_T_lidar[2, 3] == pytest.approx(1.8, abs=0.1)


def test_the_page_has_these_rows():
    table = PAGE.read_text(encoding="utf-8").split("## By odometry package")[1]
    named = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert {row.name for row in ROWS} | {"none"} == {name.split(" (")[0] for name in named[1:]}
