"""The Fast DDS profile that lets whole scans through shared memory."""

from __future__ import annotations

from collections.abc import Mapping

from kdmos_ros.resources import share_dir

# An old name and a new one; each release of Fast DDS reads one of them.
VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
# Who chose transports already, by one of these, keeps the choice; an empty one is one too.
_CHOICES = (*VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")


def dds_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to set before rclpy is initialised; none if there are such already.

    Raises:
        KdmosError: the package's shared files are missing.
    """
    if any(name in environment for name in _CHOICES):
        return {}
    return dict.fromkeys(VARIABLES, str(share_dir() / "config" / "fastdds_profile.xml"))
