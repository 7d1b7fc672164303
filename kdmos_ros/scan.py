"""One LiDAR sweep with its pose: the unit that every stage works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit


@dataclass(frozen=True)
class Scan:
    """One sweep.

    Attributes:
        points: (N, 3) float32, sensor frame, metres. Rows that are not finite or all zero mean
            "no return"; they keep their place and end up unlabelled.
        intensity: (N,) float32 in 0..1, or None where the sensor has none.
        stamp_ns: time of the sweep, nanoseconds.
        pose: (4, 4) float64, T_odom_sensor at the stamp.
        base_T_sensor: (4, 4) float64 mount of the sensor on the robot; None: not known, so level
            and at the height that the model was made for.
    """

    points: npt.NDArray[np.float32]
    intensity: npt.NDArray[np.float32] | None
    stamp_ns: int
    pose: npt.NDArray[np.float64]
    base_T_sensor: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 3:
            raise ValueError(f"points must be (N, 3), got {self.points.shape}")
        if self.intensity is not None and self.intensity.shape != (len(self.points),):
            raise ValueError(f"intensity must be ({len(self.points)},), got {self.intensity.shape}")
        if self.pose.shape != (4, 4) or not np.isfinite(self.pose).all():
            raise ValueError("pose must be a finite (4, 4) matrix")
        if self.base_T_sensor is not None and self.base_T_sensor.shape != (4, 4):
            raise ValueError(f"base_T_sensor must be (4, 4), got {self.base_T_sensor.shape}")

    @property
    def level_points(self) -> npt.NDArray[np.float32]:
        """(N, 3) float32, metres, from the sensor but along the axes of the base."""
        if self.base_T_sensor is None:
            return self.points
        return turned(self.points, self.base_T_sensor[:3, :3])


def turned(
    points: npt.NDArray[np.float32], rotation: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """Points (N, 3) float32 after a rotation (3, 3); the same array if that is none.

    Rows without a return, not finite or all zero, remain so.
    """
    if np.array_equal(rotation, np.eye(3)):
        return points
    result: npt.NDArray[np.float32] = _turn(
        np.ascontiguousarray(points, np.float32), rotation.astype(np.float32)
    )
    return result


# A product of so many rows with three columns takes a BLAS ten times as long, in all its threads.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _turn(points, rotation):  # type: ignore[no-untyped-def]
    out = np.empty((len(points), 3), np.float32)
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        out[i, 0] = r00 * x + r01 * y + r02 * z
        out[i, 1] = r10 * x + r11 * y + r12 * z
        out[i, 2] = r20 * x + r21 * y + r22 * z
    return out
