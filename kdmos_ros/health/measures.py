"""What one scan, or two of them, show of the health of the inputs. NumPy on a sample of points."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.range_image import RangeImage, build_range_image
from kdmos_ros.features.visibility import SEEN_THROUGH, UNKNOWN, VisibilitySpec, look_up
from kdmos_ros.geometry.transforms import Matrix, invert, make_transform
from kdmos_ros.labels import MOVING
from kdmos_ros.scan import Scan

Float32 = npt.NDArray[np.float32]

N_SECTORS = 36
# So many points say as much as all of them.
_SAMPLE = 6000
# What stands on the ground: neither the ground itself nor what sways far away.
_UPRIGHT_M, _NEAREST_M, _FARTHEST_M = 0.4, 3.0, 50.0
_HEAP_M = 0.1
# Near enough for a mount that is tilted by 5 degrees to leave the ground within reach.
_GROUND_M, _GROUND_NEAR_M, _GROUND_FAR_M = 1.0, 2.5, 10.0
_GROUND_POINTS, _GROUND_ROUGH_M = 50, 0.1
_POOL_ROWS = 1
# The margins of the features.
_SPEC = VisibilitySpec()
_FEW = 100
_WORST_CONDITION = 1e8


@dataclass(frozen=True)
class Sample:
    """Some of a scan's returns.

    Attributes:
        points: (S, 3) float32, sensor frame, metres.
        level: (S, 3) float32, the same in the frame of the base.
        distance: (S,) float32 from the sensor, metres.
        moving: (S,) bool, called moving.
        upright: (S,) bool, above the ground, neither very near nor very far.
    """

    points: Float32
    level: Float32
    distance: Float32
    moving: npt.NDArray[np.bool_]
    upright: npt.NDArray[np.bool_]


def along_the_base(scan: Scan) -> Scan:
    """The scan with its axes turned to those of the base, so that all below knows level mounts."""
    mount = scan.base_T_sensor
    if mount is None:
        return scan
    rotation, nowhere = mount[:3, :3], np.zeros(3)
    return replace(
        scan,
        points=scan.level_points,
        pose=scan.pose @ make_transform(rotation.T, nowhere),
        base_T_sensor=make_transform(np.eye(3), mount[:3, 3]),
    )


def take_sample(scan: Scan, labels: npt.NDArray[np.uint8], mount: Matrix) -> Sample:
    """Some of the returns of a scan with labels (N,) and a mount (4, 4) T_base_sensor."""
    step = max(1, len(scan.points) // _SAMPLE)
    points, moving = scan.points[::step], labels[::step] == MOVING
    has_return = np.isfinite(points).all(axis=1) & (points != 0).any(axis=1)
    points, moving = points[has_return], moving[has_return]
    with np.errstate(over="ignore", invalid="ignore"):  # far away, whatever it is
        level = points @ mount[:3, :3].T.astype(np.float32) + mount[:3, 3].astype(np.float32)
        distance = np.sqrt((points * points).sum(axis=1))
    inside = (distance > _NEAREST_M) & (distance < _FARTHEST_M)
    return Sample(points, level, distance, moving, inside & (level[:, 2] > _UPRIGHT_M))


def moving_share(sample: Sample) -> float | None:
    """Share of what stands on the ground that is called moving; None: too little stands there."""
    upright = sample.upright
    if np.count_nonzero(upright) < _FEW:
        return None
    return float(sample.moving[upright].mean())


def heap(sample: Sample) -> tuple[float, float]:
    """The largest share of returns within 0.1 m of range, and that range in metres."""
    if not len(sample.points):
        return 0.0, 0.0
    counts = np.bincount((np.minimum(sample.distance, _FARTHEST_M) / _HEAP_M).astype(np.int64))
    # The last bin holds all that lies farther away.
    most = int(np.argmax(counts[: round(_FARTHEST_M / _HEAP_M)]))
    return float(counts[most] / len(sample.points)), (most + 0.5) * _HEAP_M


def sectors(sample: Sample) -> int:
    """How many of N_SECTORS directions around the sensor hold returns."""
    azimuth = np.arctan2(sample.level[:, 1], sample.level[:, 0])
    index = ((azimuth / (2 * math.pi) + 0.5) * N_SECTORS).astype(np.int64)
    return int(np.count_nonzero(np.bincount(index % N_SECTORS, minlength=N_SECTORS)))


def ground_lean(sample: Sample) -> npt.NDArray[np.float64] | None:
    """Slope (2,) of the ground along the base's x and y, radians; None: no ground is seen.

    A plane is fitted to what is low and near, again and again without what lies off it.
    """
    x, y, z = sample.level.T.astype(np.float64)
    rho = np.hypot(x, y)
    low = (rho > _GROUND_NEAR_M) & (rho < _GROUND_FAR_M) & (np.abs(z) < _GROUND_M)
    plane: npt.NDArray[np.float64] = np.zeros(3)
    for reach in (_GROUND_M, _GROUND_M / 2, _GROUND_M / 4, _GROUND_ROUGH_M):
        near = low & (np.abs(z - plane[0] * x - plane[1] * y - plane[2]) < reach)
        if np.count_nonzero(near) < _GROUND_POINTS:
            return None
        fitted = _least_squares([x[near], y[near]], z[near])
        if fitted is None:
            return None
        plane = fitted
    return np.arctan(plane[:2])


def _least_squares(
    columns: list[npt.NDArray[np.float64]], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64] | None:
    """Factors of the columns and an offset that fit the values; None: they do not tell."""
    # By the normal equations: three unknowns need no decomposition of thousands of rows.
    rows = np.stack([*columns, np.ones(len(values))])
    normal = rows @ rows.T
    if np.linalg.cond(normal) > _WORST_CONDITION:
        return None
    return np.asarray(np.linalg.solve(normal, rows @ values), np.float64)


@dataclass(frozen=True)
class Reference:
    """A scan that a later one is compared with."""

    image: RangeImage
    stamp_ns: int
    pose: Matrix


@dataclass(frozen=True)
class Shift:
    """How the surroundings seem to move against the poses, from one scan to a later one.

    Attributes:
        step_m: how far the sensor went between them, by the poses, in its horizontal plane.
        sideways_m: how far what stands still seems to move to the left of that way.
        seen_through: share of what stands on the ground where free space was before.
    """

    step_m: float
    sideways_m: float
    seen_through: float


def take_reference(scan: Scan) -> Reference:
    """Keep of a scan what a later one is compared with."""
    points = np.ascontiguousarray(scan.points, np.float32)
    return Reference(build_range_image(points, _POOL_ROWS), scan.stamp_ns, scan.pose)


def measure_shift(before: Reference, scan: Scan, sample: Sample) -> Shift | None:
    """Compare a scan with an earlier one; None: too little stands in both.

    If the poses are right, what stands still lies where it lay, whatever its shape. If they are
    not, ranges are too long on the one side and too short on the other: a shift is fitted to the
    differences along the rays, and an offset that takes what the look-up errs by.
    """
    upright = sample.upright
    points = np.ascontiguousarray(sample.points[upright])
    n = len(points)
    state, near, far = np.empty(n, np.uint8), np.empty(n, np.float32), np.empty(n, np.float32)
    then_from_now = (invert(before.pose) @ scan.pose).astype(np.float32)
    look_up(
        before.image, then_from_now, points, _SPEC.margin_m, _SPEC.margin_per_m, state, near, far
    )
    known = state != UNKNOWN
    if np.count_nonzero(known) < _FEW:
        return None
    way = -(invert(scan.pose) @ before.pose)[:2, 3]
    step = float(np.hypot(*way))
    difference = (near + far) / 2
    comparable = known & (np.abs(difference) < 0.99) & ~sample.moving[upright]
    sideways = 0.0
    if np.count_nonzero(comparable) >= _FEW and step > 0:
        kept, differences = points[comparable].astype(np.float64), difference[comparable]
        distance = np.sqrt((kept * kept).sum(axis=1))
        metres = differences * 2 * (_SPEC.margin_m + _SPEC.margin_per_m * distance)
        fitted = _least_squares([kept[:, 0] / distance, kept[:, 1] / distance], metres)
        if fitted is not None:
            sideways = float(fitted[:2] @ [-way[1], way[0]]) / step
    return Shift(step, sideways, float((state[known] == SEEN_THROUGH).mean()))
