"""Recordings that no ROS has made: .pcap of Ouster and Velodyne, and Ouster's .osf, as bags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kdmos_ros.errors import KdmosError
from kdmos_ros.io import ouster, velodyne
from kdmos_ros.io.bag_messages import SECOND_NS, cloud_message, odometry_message
from kdmos_ros.io.message_types import ODOMETRY, POINT_CLOUD
from kdmos_ros.io.trajectory_file import TUM, read_trajectory, trajectory_form
from kdmos_ros.io.virtual_bag import (
    FIXED_FRAME,
    LIDAR_FRAME,
    VirtualBag,
    VirtualTopic,
    odometry_topics,
)

SUFFIXES = (".pcap", ".osf")
_POSE_SUFFIXES = (".txt", ".tum", ".csv")
_counts: dict[tuple[Path, int, int], int] = {}


class PacketFile(NamedTuple):
    """The file as a bag, what was found, and why there are no poses, if there are none."""

    bag: VirtualBag
    about: str
    no_poses: str


def open_packet_file(path: Path) -> PacketFile:
    """A .pcap or .osf file. Poses are those of TUM files beside it whose names begin as its own.

    Raises:
        ModuleNotFoundError: ouster-sdk or velodyne-decoder is not installed.
        KdmosError: it holds nothing of these LiDARs, or is damaged.
    """
    poses = [read_trajectory(file) for file in _beside(path, _POSE_SUFFIXES) if _is_tum(file)]
    frame, own = ouster.FRAME, list[VirtualTopic]()
    try:
        if path.suffix.lower() == ".osf":
            topic, own = _osf(path, bool(poses))
            kind = "Ouster's frames"
        elif settings := _beside(path, (".json",)):
            topic, kind = _ouster_pcap(path, settings), f"Ouster's packets with {settings[0].name}"
        else:
            topic, kind, frame = _velodyne_pcap(path), "Velodyne's packets", LIDAR_FRAME
    except (ModuleNotFoundError, KdmosError, OSError):
        raise
    except Exception as error:  # the libraries raise whatever they find
        raise _unknown(path, error) from error
    names = [pose.path.name for pose in poses] or ["the file itself"] * len(own)
    bag = VirtualBag([*own, *odometry_topics(poses, frame), topic])
    about = f"{topic.count} clouds of {kind}; poses of {', '.join(names) or 'none'}"
    missing = (
        f"no file of poses {path.stem}.txt lies beside it (TUM's format: stamp x y z qx qy qz qw a"
        " line)"
    )
    return PacketFile(bag, about, missing)


def _beside(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = path.resolve().parent.glob(f"{path.stem}*")
    return sorted(file for file in found if file.suffix.lower() in suffixes)


def _is_tum(file: Path) -> bool:
    return trajectory_form(file) == TUM


def _osf(path: Path, has_poses: bool) -> tuple[VirtualTopic, list[VirtualTopic]]:
    from ouster.sdk.osf import OsfFrameSetSource

    source = OsfFrameSetSource(str(path))
    if len(source.sensor_info) != 1:
        raise KdmosError(f"{path} has {len(source.sensor_info)} sensors; only one is read")
    clouds = ouster.FrameClouds(source.sensor_info[0])

    def frames() -> Iterator[Any]:
        for frames in OsfFrameSetSource(str(path)):
            yield from (frame for frame in frames if frame is not None)

    def messages() -> Iterator[tuple[int, Any]]:
        return (_message(clouds.cloud(frame)) for frame in frames())

    def poses() -> Iterator[tuple[int, Any]]:
        for frame in frames():
            pose = ouster.sensor_pose(frame)
            stamp = clouds.cloud(frame).stamp_ns
            yield stamp, odometry_message(stamp, FIXED_FRAME, ouster.FRAME, pose)

    n = len(source)
    topic = VirtualTopic("/points", POINT_CLOUD, n, messages)
    last = next(iter(source[n - 1]), None) if n else None
    moves = last is not None and not np.allclose(ouster.sensor_pose(last), np.eye(4))
    own = [VirtualTopic("/poses", ODOMETRY, n, poses)] if moves and not has_poses else []
    return topic, own


def _ouster_pcap(path: Path, settings: list[Path]) -> VirtualTopic:
    decoder = ouster.OusterDecoder(settings[0].read_text(encoding="utf-8"))

    def packets() -> Iterator[tuple[int, bytes]]:
        from ouster.sdk.core import LidarPacket
        from ouster.sdk.pcap import PcapPacketSource

        for _, packet in PcapPacketSource(str(path), meta=[str(settings[0])]):
            if isinstance(packet, LidarPacket):
                yield packet.host_timestamp, bytes(packet.buf)

    def messages() -> Iterator[tuple[int, Any]]:
        return map(_message, decoder.decode(packets()))

    count = _counted(path, lambda: decoder.count(packets()))
    return _filled(path, VirtualTopic("/points", POINT_CLOUD, count, messages))


def _velodyne_pcap(path: Path) -> VirtualTopic:
    def messages() -> Iterator[tuple[int, Any]]:
        for stamp_s, columns in velodyne.decode_pcap(path):
            stamp = round(stamp_s * SECOND_NS)
            yield stamp, cloud_message(stamp, LIDAR_FRAME, columns)

    count = _counted(path, lambda: sum(1 for _ in velodyne.decode_pcap(path)))
    return _filled(path, VirtualTopic("/points", POINT_CLOUD, count, messages))


def _message(cloud: ouster.OusterCloud) -> tuple[int, Any]:
    return cloud.stamp_ns, cloud_message(cloud.stamp_ns, ouster.FRAME, cloud.columns)


def _counted(path: Path, count: Any) -> int:
    """Clouds of a file, counted once however often it is opened."""
    status = path.stat()
    key = (path.resolve(), status.st_size, status.st_mtime_ns)
    if key not in _counts:
        _counts[key] = count()
    return _counts[key]


def _filled(path: Path, topic: VirtualTopic) -> VirtualTopic:
    if not topic.count:
        raise _unknown(path, "no packets of it")
    return topic


def _unknown(path: Path, why: object) -> KdmosError:
    return KdmosError(
        f"{path} is not read as Ouster's or Velodyne's ({' '.join(str(why).split())}): an Ouster's"
        f" .pcap needs its settings beside it as {path.stem}.json; packets of other makers are made"
        " clouds of by their drivers (Hesai: source_type 2, RoboSense: msg_source 3)"
    )
