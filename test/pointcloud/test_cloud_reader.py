"""Clouds as the parameters say they are to be read."""

import numpy as np
import pytest
from cloud_harness import make_cloud

from kdmos_ros.defaults import CLOUD_OPTIONS
from kdmos_ros.errors import CloudError
from kdmos_ros.pointcloud.cloud_reader import read_cloud

STAMP_NS = 1_700_000_000_000_000_000


def read(message, **options):
    return read_cloud(message, STAMP_NS, {**CLOUD_OPTIONS, **options})


def cloud_at(ranges):
    """Points along x at the given ranges."""
    n = len(ranges)
    values = {"x": ranges, "y": np.zeros(n), "z": np.zeros(n), "time": np.linspace(0, 0.1, n)}
    return make_cloud("velodyne", width=n, values=values)[0]


def test_limits_turn_points_into_no_return():
    message = cloud_at([1.0, 2.0, 3.0, -4.0, 5.0, 0.0, np.nan, np.inf])
    before = bytes(message.data)
    near = read(message, min_range=2.0).cloud.points[:, 0]
    np.testing.assert_array_equal(near, np.float32([np.nan, 2, 3, -4, 5, 0, np.nan, np.inf]))
    both = read(message, min_range=2.5, max_range=4.0).cloud.points[:, 0]
    np.testing.assert_array_equal(both[:6], np.float32([np.nan, np.nan, 3, -4, np.nan, 0]))
    assert message.data == before, "the message is published again: it must not change"


def test_no_limit_keeps_all():
    ranges = np.float32([0.01, 1.0, 1e6])
    np.testing.assert_array_equal(read(cloud_at(ranges)).cloud.points[:, 0], ranges)


def test_times_are_read_only_if_they_are_needed():
    assert read(cloud_at([1.0, 2.0]), deskew=False).times is None
    assert read(cloud_at([1.0, 2.0]), deskew="false").untimed is None
    np.testing.assert_allclose(read(cloud_at([1.0, 2.0])).times.seconds, [0, 0.1], atol=1e-7)
    found = read(make_cloud("plain_xyz")[0])
    assert found.times is None
    assert found.untimed.reason == "no_point_time"
    times = read(cloud_at([1.0, 2.0]), deskew=True).times
    np.testing.assert_allclose(times.seconds, [0, 0.1], atol=1e-7)
    with pytest.raises(CloudError, match="time_field") as caught:
        read(make_cloud("plain_xyz")[0], deskew=True)
    assert caught.value.reason == "no_point_time"


def test_format_of_the_times_is_an_option():
    times = read(
        cloud_at([1.0, 2.0, 3.0]), deskew=True, time_field="x", time_unit="ms", time_base="end"
    ).times
    np.testing.assert_allclose(times.seconds, [-0.002, -0.001, 0], atol=1e-8)


def test_points_out_of_the_limits_do_not_stretch_the_sweep():
    times = read(cloud_at([1.0, 5.0, 6.0]), deskew=True, min_range=2.0).times
    assert (times.first, times.last) == pytest.approx((0.05, 0.1))
