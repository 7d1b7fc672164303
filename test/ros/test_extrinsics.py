import pytest

from kdmos_ros.poses.extrinsics import (
    ExtrinsicError,
    FixedExtrinsics,
    UnknownExtrinsics,
)
from kdmos_ros.ros.tf_extrinsics import make_extrinsics


def test_unknown_mount_is_never_guessed():
    unknown = UnknownExtrinsics()
    with pytest.raises(ExtrinsicError, match=r"base_link -> lidar.*base_to_lidar") as caught:
        unknown.look_up("base_link", "lidar", 0, 0.0)
    assert caught.value.reason == "no_extrinsic"
    assert unknown.look_up("lidar", "lidar", 0, 0.0) is None


def test_parameter_wins_over_tf():
    extrinsics = make_extrinsics(None, "0 0 2")
    assert isinstance(extrinsics, FixedExtrinsics)
    assert extrinsics.look_up("a", "b", 0, 0.0)[2, 3] == 2
