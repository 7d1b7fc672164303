"""From a PointCloud2 message to points and their times, as the parameters say. Free of ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kdmos_ros.defaults import AUTO
from kdmos_ros.errors import CloudError
from kdmos_ros.pointcloud.codec import DecodedCloud, decode
from kdmos_ros.pointcloud.deskew_mode import deskew_mode
from kdmos_ros.pointcloud.layout import Layout, read_layout
from kdmos_ros.pointcloud.point_times import PointTimes, TimeFormat, read_point_times


class ReadCloud(NamedTuple):
    """A cloud's layout and arrays.

    Attributes:
        times: None unless it may be deskewed.
        untimed: why it cannot be, where that is not an error.
    """

    layout: Layout
    cloud: DecodedCloud
    times: PointTimes | None
    untimed: CloudError | None = None


def read_cloud(message: Any, stamp_ns: int, options: Mapping[str, Any]) -> ReadCloud:
    """Decode a cloud. Points nearer than min_range or beyond max_range become NaN: no return.

    Args:
        stamp_ns: the cloud's stamp.
        options: values of the parameters in `defaults.CLOUD_OPTIONS`.

    Raises:
        CloudError: the cloud cannot be read, or not deskewed although it must be.
    """
    layout = read_layout(message, options["max_points"])
    cloud = decode(
        layout,
        intensity_field=options["intensity_field"] or None,
        intensity_scale=options["intensity_scale"] or None,
    )
    _limit_range(cloud.points, options["min_range"], options["max_range"])
    mode = deskew_mode(options["deskew"])
    if mode == "false":
        return ReadCloud(layout, cloud, None)
    form = TimeFormat(options["time_field"], options["time_unit"], options["time_base"])
    try:
        times = read_point_times(layout, cloud.points, stamp_ns, form)
    except CloudError as error:
        if mode == AUTO:
            # Its traceback would hold this cloud until the garbage collector comes.
            return ReadCloud(layout, cloud, None, error.with_traceback(None))
        raise
    return ReadCloud(layout, cloud, times)


def _limit_range(points: Any, low: float, high: float) -> None:
    if not (low or high):
        return
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.einsum("ij,ij->i", points, points)
        # Zero rows mean "no return" already; NaN compares false and stays.
        outside = (squared < low * low) & (squared > 0)
        if high:
            outside |= squared > high * high
    points[outside] = np.nan
