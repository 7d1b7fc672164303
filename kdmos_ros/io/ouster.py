"""Ouster's raw packets as clouds, decoded by `ouster-sdk`.

Messages of ouster-ros: PacketMsg holds one packet; the sensor's settings are a String on the topic
`metadata` beside it, which a .pcap has in a .json file beside it, and an .osf in itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

PACKETS = tuple(f"{p}/msg/PacketMsg" for p in ("ouster_sensor_msgs", "ouster_msgs", "ouster_ros"))
PACKET_DEFINITION = "uint8[] buf\n"
FRAME = "os_sensor"

# Packets of a turn may come this much later than the first ones of the next.
_LATE = 8
_HOUR_NS = 3_600_000_000_000
_log = logging.getLogger(__name__)

Columns = list[tuple[str, npt.NDArray[Any]]]


class OusterCloud(NamedTuple):
    """The cloud of a turn.

    Attributes:
        recorded_ns: when its last packet was received.
        stamp_ns: of its first column.
        columns: x, y, z (m, float32, frame `os_sensor`), reflectivity, t (uint32 ns after the
            stamp), ring; all points, row by row, zeros where there is no return.
    """

    recorded_ns: int
    stamp_ns: int
    columns: Columns


class OusterDecoder:
    """Packets in, clouds out.

    The stamps are the sensor's where it counts since 1970 (PTP, NMEA). Where it counts since its
    start, they are moved by a constant to the times at which the packets were received.

    Args:
        metadata: the sensor's settings, JSON.

    Raises:
        ModuleNotFoundError: ouster-sdk is not installed.
        RuntimeError: not such settings.
    """

    def __init__(self, metadata: str) -> None:
        from ouster.sdk import core

        self._core = core
        self._info = core.SensorInfo(metadata)
        self._format = core.PacketFormat(self._info)
        self._clouds = FrameClouds(self._info)
        self._turns = _Turns()
        self._shift_ns: int | None = None
        self.left_out = 0

    def count(self, packets: Iterator[tuple[int, bytes]]) -> int:
        """How many clouds `decode` makes of packets, without making them."""
        return sum(1 for _ in self._groups(packets))

    def decode(self, packets: Iterator[tuple[int, bytes]]) -> Iterator[OusterCloud]:
        """The clouds of packets (time of reception in ns, bytes), in their order."""
        for group in self._groups(packets):
            batcher, frame = self._core.FrameBatcher(self._info), self._core.LidarFrame(self._info)
            for packet in group:
                batcher.batch(packet, frame)
            if self._shift_ns is None:
                self._shift_ns = self._shift(group)
            yield self._clouds.cloud(frame, self._shift_ns, group[-1].host_timestamp)
        if self.left_out:
            _log.warning(f"{self.left_out} Ouster packets of another size or too late are left out")
            self.left_out = 0

    def _groups(self, packets: Iterator[tuple[int, bytes]]) -> Iterator[list[Any]]:
        self._turns, self.left_out = _Turns(), 0
        for received_ns, data in packets:
            if len(data) != self._format.lidar_packet_size:
                self.left_out += 1
                continue
            packet = self._core.LidarPacket(self._format)
            packet.buf[:] = np.frombuffer(data, np.uint8)
            packet.host_timestamp = received_ns
            yield from self._turns.add(self._format.frame_id(packet.buf), packet)
        yield from self._turns.rest()
        self.left_out += self._turns.late

    def _shift(self, group: list[Any]) -> int:
        """From the sensor's clock to that of the receiver."""
        header = self._core.ColHeader.TIMESTAMP
        delays = [
            packet.host_timestamp - int(np.max(self._format.packet_header(header, packet.buf)))
            for packet in group
        ]
        shift = min(delays)
        return 0 if abs(shift) < _HOUR_NS else shift


class FrameClouds:
    """Makes clouds of the library's frames.

    Args:
        info: the library's SensorInfo.
    """

    def __init__(self, info: Any) -> None:
        from ouster.sdk import core

        self._lut = core.XYZLut(info)
        self._ring = np.repeat(np.arange(info.h, dtype=np.uint16), info.w)

    def cloud(self, frame: Any, shift_ns: int = 0, received_ns: int | None = None) -> OusterCloud:
        """The cloud of a frame; its stamps are moved by `shift_ns`."""
        times = np.asarray(frame.timestamp).astype(np.int64)
        valid = times > 0
        first = int(times[valid].min()) if valid.any() else 0
        after = np.where(valid, times - first, 0).astype(np.uint32)
        xyz = np.asarray(self._lut(frame)).reshape(-1, 3).astype(np.float32)
        columns: Columns = [(name, xyz[:, k]) for k, name in enumerate("xyz")]
        if frame.has_field("REFLECTIVITY"):
            columns.append(("reflectivity", np.asarray(frame.field("REFLECTIVITY")).reshape(-1)))
        columns += [("t", np.tile(after, len(self._ring) // len(after))), ("ring", self._ring)]
        stamp = first + shift_ns
        return OusterCloud(stamp if received_ns is None else received_ns, stamp, columns)


def sensor_pose(frame: Any) -> npt.NDArray[np.float64]:
    """T_world_sensor (4, 4) of a frame's first valid column; the identity where it has none."""
    from ouster.sdk.core import first_valid_column_pose

    body = np.asarray(first_valid_column_pose(frame), np.float64)
    return body @ np.asarray(frame.sensor_info.sensor_to_body, np.float64)


class _Turns:
    """Sorts packets by the turn of the sensor that they belong to."""

    def __init__(self) -> None:
        self._open: dict[int, list[Any]] = {}
        self._closed: int | None = None
        self.late = 0

    def add(self, turn: int, packet: Any) -> Iterator[list[Any]]:
        """Take a packet; gives the turns that are complete by now."""
        if turn not in self._open and turn == self._closed:
            self.late += 1
            return
        self._open.setdefault(turn, []).append(packet)
        newest = next(reversed(self._open))
        while len(self._open) > 2 or (len(self._open) > 1 and len(self._open[newest]) > _LATE):
            self._closed = next(iter(self._open))
            yield self._open.pop(self._closed)

    def rest(self) -> Iterator[list[Any]]:
        """The last turns."""
        yield from self._open.values()
        self._open = {}
