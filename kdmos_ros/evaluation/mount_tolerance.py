"""The same scans in frames that lie otherwise: labels must not change."""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from kdmos_ros.geometry.mount import parse_transform
from kdmos_ros.geometry.transforms import Matrix
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter
from kdmos_ros.segmentation.segmenter import Segmentation

BOB_HZ = 2.0


@dataclass(frozen=True)
class Reframing:
    """How the frame of the clouds lies in the sensor, and who bobs.

    Attributes:
        roll, pitch, yaw: of the frame, degrees about fixed axes.
        bob_deg: by how much it bobs about y besides, degrees; BOB_HZ times a second.
        with_base: whether the base bobs along, so that the mount stays what it is; otherwise the
            mount tells of every turn.
    """

    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    bob_deg: float = 0.0
    with_base: bool = False

    def turn(self, seconds: float) -> Matrix:
        """T_sensor_frame (4, 4) at a time."""
        angles = np.radians([self.roll, self.pitch, self.yaw])
        bob = math.radians(self.bob_deg) * math.sin(2 * math.pi * BOB_HZ * seconds + 0.3)
        turned = parse_transform([0, 0, 0, *angles])
        bobbed = parse_transform([0, 0, 0, 0, bob, 0])
        assert turned is not None and bobbed is not None
        return bobbed @ turned

    def apply(self, scan: Scan, seconds: float, usual_mount: Matrix) -> Scan:
        """The same points in that frame, seconds after the first scan."""
        mount = usual_mount if scan.base_T_sensor is None else scan.base_T_sensor
        if self == Reframing():
            return replace(scan, base_T_sensor=mount)
        turn = self.turn(seconds)
        points = (scan.points.astype(np.float64) @ turn[:3, :3]).astype(np.float32)
        if not self.with_base:
            mount = mount @ turn
        return replace(scan, points=points, pose=scan.pose @ turn, base_T_sensor=mount)


CASES: tuple[tuple[str, Reframing], ...] = (
    ("as recorded", Reframing()),
    ("nose down 45°", Reframing(pitch=45)),
    ("nose up 60°", Reframing(pitch=-60)),
    ("nose down 90°", Reframing(pitch=90)),
    ("on its side", Reframing(roll=90)),
    ("upside down", Reframing(roll=180)),
    ("upside down, 45°", Reframing(roll=180, pitch=45)),
    ("turned by 130°", Reframing(yaw=130)),
    ("sensor bobs by 10°", Reframing(bob_deg=10)),
    ("base bobs by 5°", Reframing(bob_deg=5, with_base=True)),
    ("base bobs by 8°", Reframing(bob_deg=8, with_base=True)),
    ("base bobs by 10°", Reframing(bob_deg=10, with_base=True)),
)


class ReframedSegmenter:
    """A ScanSegmenter whose scans come in another frame.

    Args:
        segmenter: labels them.
        reframing: how the frame lies.
        usual_mount: (4, 4) mount of scans that do not know theirs.
    """

    def __init__(self, segmenter: ScanSegmenter, reframing: Reframing, usual_mount: Matrix) -> None:
        self._segmenter, self._reframing, self._mount = segmenter, reframing, usual_mount
        self._first_ns: int | None = None

    def push(self, scan: Scan) -> Future[Segmentation]:
        """See ScanSegmenter."""
        if self._first_ns is None:
            self._first_ns = scan.stamp_ns
        seconds = (scan.stamp_ns - self._first_ns) * 1e-9
        return self._segmenter.push(self._reframing.apply(scan, seconds, self._mount))

    def flush(self) -> None:
        """See ScanSegmenter."""
        self._segmenter.flush()

    def reset(self) -> None:
        """See ScanSegmenter."""
        self._first_ns = None
        self._segmenter.reset()
