"""Velodyne's raw packets in bags as clouds, decoded by `velodyne-decoder`.

Messages of ros-drivers/velodyne: VelodyneScan holds the packets of a turn, VelodynePacket one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError

SCAN, PACKET = "velodyne_msgs/msg/VelodyneScan", "velodyne_msgs/msg/VelodynePacket"
PACKET_DEFINITION = "builtin_interfaces/Time stamp\nuint8[1206] data\n"
SCAN_DEFINITION = "std_msgs/Header header\nVelodynePacket[] packets\n"

# Last byte of a packet: VLP-32AB, HDL-32E, VLP-16, Puck Hi-Res, VLP-32C, VLS-128.
_MODELS = (0x21, 0x22, 0x23, 0x24, 0x28, 0x63, 0xA1)
_FIELDS = ("x", "y", "z", "intensity", "time", "ring")

Columns = list[tuple[str, npt.NDArray[Any]]]


def decode_scan(packets: Any, stamp_s: float, sensor: str) -> Columns:
    """The points of a VelodyneScan's packets, as the driver's XYZIRT cloud names them.

    Args:
        packets: messages with `stamp` and `data`.
        stamp_s: of the scan, which times count from.
        sensor: topic; each LiDAR has a decoder of its own.

    Returns:
        x, y, z (m, ROS axes), intensity (uint8), time (s after the stamp), ring.

    Raises:
        ModuleNotFoundError: velodyne-decoder is not installed.
        KdmosError: packets that do not tell their model.
    """
    decoder, library = _decoder(sensor)
    kept = [(p.stamp.sec + p.stamp.nanosec * 1e-9, bytes(p.data)) for p in packets]
    if not kept:
        return _columns(np.empty((0, 8), np.float32), 0.0)
    model = kept[0][1][-1]
    if model not in _MODELS:
        raise KdmosError(
            f"{sensor}: packets of model {model:#04x}: an HDL-64E, or no Velodyne; convert them"
            " while the bag is played: ros2 run velodyne_pointcloud velodyne_transform_node"
            " --ros-args -p model:=64E -p calibration:=FILE (the sensor's own)"
        )
    vector = library.PacketVector([library.VelodynePacket(*packet) for packet in kept])
    found, rows = decoder.decode(vector)
    return _columns(rows, found.host - stamp_s)


def decode_pcap(path: Path) -> Iterator[tuple[float, Columns]]:
    """Stamp (s) and points of each turn in a .pcap, see `decode_scan`; times count from it."""
    import velodyne_decoder

    for stamp, rows in velodyne_decoder.read_pcap(str(path), _config()):
        yield stamp.host, _columns(rows, 0.0)


def _columns(rows: npt.NDArray[np.float32], shift_s: float) -> Columns:
    x, y, z, intensity, time, _, ring, _ = rows.T
    # As integers, which are known to mean 0..255.
    whole = np.clip(np.rint(intensity), 0, 255).astype(np.uint8)
    columns = (x, y, z, whole, time + np.float32(shift_s), ring.astype(np.uint16))
    return list(zip(_FIELDS, columns, strict=True))


@lru_cache(maxsize=8)
def _decoder(_sensor: str) -> tuple[Any, Any]:
    import velodyne_decoder

    return velodyne_decoder.ScanDecoder(_config()), velodyne_decoder


def _config() -> Any:
    import velodyne_decoder

    return velodyne_decoder.Config(min_range=0.1, max_range=300.0)
