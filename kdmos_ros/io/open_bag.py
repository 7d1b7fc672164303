"""Opens a recorded drive as a command's options say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import FIXED_FRAMES
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.pointcloud.sensor_files import sensor_options


@dataclass(frozen=True)
class BagOptions:
    """How to read a bag.

    Attributes:
        cloud, odom: topics; None: the only one of its type.
        base_T_sensor: (4, 4) mount of the LiDAR, instead of that in /tf_static; or None.
        pose_source, fixed_frame: where poses come from, see BagReader.
        frame: take the clouds in this frame only; empty: in that of the first cloud.
        lidar: kind of LiDAR, or a file, see `sensor_files`; None: as found.
        deskew: one of `defaults.DESKEW_CHOICES`; None: as `lidar` says, or the default.
    """

    cloud: str | None = None
    odom: str | None = None
    base_T_sensor: npt.NDArray[np.float64] | None = None
    pose_source: str = "odometry"
    fixed_frame: str = FIXED_FRAMES[0]
    lidar: str | None = None
    frame: str = ""
    deskew: str | None = None


def open_bag(path: Path, options: BagOptions) -> BagReader:
    """A recorded drive; close it, or use it in a `with` statement.

    Raises:
        KdmosError: it cannot be read so.
    """
    cloud_options = sensor_options(options.lidar) if options.lidar else {}
    if options.deskew:
        cloud_options["deskew"] = options.deskew
    if options.frame:
        cloud_options["cloud_frame"] = options.frame
    return BagReader(
        path,
        options.cloud,
        options.odom,
        options.base_T_sensor,
        options.pose_source,
        options.fixed_frame,
        cloud_options,
    )
