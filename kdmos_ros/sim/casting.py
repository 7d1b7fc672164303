"""Simulated participants cast into recorded scans: their labels are exact without anybody's work.

Each beam of the recording that a participant stands in the way of ends there instead, with the
noise, the losses and the intensity of a sensor; what was behind it is gone. The recording's own
odometry says where the sensor was. Each scan is taken as made at once, what is cast as well as
what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.geometry.transforms import invert, transform
from kdmos_ros.scan import Scan
from kdmos_ros.sim.cast_plan import CastCounts, cast_plan
from kdmos_ros.sim.recorded_place import RecordedPlace
from kdmos_ros.sim.recorded_rays import RecordedRays, beam_spacing, recorded_rays
from kdmos_ros.sim.scan_rendering import Renderer
from kdmos_ros.sim.sensors import find_sensor
from kdmos_ros.sim.world import World

Array = npt.NDArray[Any]
_OWN_M = 2.5  # nearer than this is the vehicle that carries the sensor
_USUAL_REFLECTIVITY = 0.3  # of what is around a road


@dataclass(frozen=True)
class CastScan:
    """A scan with participants cast into it. Its rows: what is left of the recording, then they.

    Attributes:
        scan: the stamp and pose are the recording's.
        kept: (R,) int64 rows of the recording that are left.
        labels, kind: (C,) uint8 of the cast points, see `kdmos_ros.labels`, `object_kinds`.
        instance: (C,) int32, 1..; speed: (C,) float32 m/s over ground.
    """

    scan: Scan
    kept: npt.NDArray[np.int64]
    labels: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.int32]
    speed: npt.NDArray[np.float32]


class Recording:
    """Scans of a drive, made ready once to cast into as often as wanted.

    Args:
        scans: in time order. base_T_sensor: (4, 4) mount; the base is on the ground.
        sensor: name in `SENSORS`, for noise, losses and reach; beams are the recording's own.
        hole: metres without a point that the ground is taken to go on through, as around a sensor
            that stands still.

    Attributes:
        place: what the scans tell of the surroundings.

    Raises:
        KdmosError: no such sensor.
    """

    def __init__(
        self, scans: list[Scan], base_T_sensor: Array, sensor: str = "hdl64e", hole: float = 2.0
    ) -> None:
        self.scans, self._sensor = scans, find_sensor(sensor)
        self._base_poses = np.array([s.pose @ invert(base_T_sensor) for s in scans])
        start = scans[0].stamp_ns
        self._times = np.array([(s.stamp_ns - start) * 1e-9 for s in scans])
        self.clouds = [transform(s.pose, s.points.astype(np.float64)) for s in scans]
        around = [c[_is_around(s.points)] for c, s in zip(self.clouds, scans, strict=True)]
        self.place = RecordedPlace(around, self._base_poses[:, :3, 3], hole=hole)
        spacing = beam_spacing([s.points for s in scans])
        self._rays: list[RecordedRays] = [
            recorded_rays(s.points, spacing, self._sensor.max_range) for s in scans
        ]
        shining = [s.intensity[s.intensity > 0] for s in scans if s.intensity is not None]
        shine = np.concatenate([np.empty(0, np.float32), *shining])
        usual = float(np.median(shine)) if len(shine) else _USUAL_REFLECTIVITY
        self._gain = float(np.clip(usual / _USUAL_REFLECTIVITY, 0.1, 3.0))

    def cast(self, seed: int, counts: CastCounts) -> tuple[World, list[CastScan]]:
        """Cast a drawn set of participants; equal arguments give equal scans.

        Returns:
            the world of the participants, in the odometry frame, and one scan for each recorded.
        """
        rng = np.random.default_rng([seed, 4])
        plan = cast_plan(rng, self.place, self._base_poses, self._times, counts)
        world = World(plan, rng)
        renderer = Renderer(world, self._sensor, np.zeros(3), gain=self._gain)
        return world, [self._cast_one(world, renderer, k, seed) for k in range(len(self.scans))]

    def _cast_one(self, world: World, renderer: Renderer, index: int, seed: int) -> CastScan:
        scan, recorded = self.scans[index], self._rays[index]
        time = float(self._times[index])
        draws = int(np.random.default_rng([seed, 5, index]).integers(2**62))
        returns, covered = renderer.sweep_over(
            recorded.rays, recorded.ranges, scan.pose, time, draws
        )
        hidden = recorded.point[covered]
        left = np.ones(len(scan.points), dtype=bool)
        left[hidden[hidden >= 0]] = False
        (kept,) = np.nonzero(left)
        intensity = None
        if scan.intensity is not None:
            shine = returns.intensity if scan.intensity.any() else np.zeros_like(returns.intensity)
            intensity = np.concatenate([scan.intensity[kept], shine])
        points = np.concatenate([scan.points[kept], returns.points])
        speed = world.speed_of_instance(time).astype(np.float32)
        return CastScan(
            Scan(points, intensity, scan.stamp_ns, scan.pose), kept,
            world.labels(time)[returns.solid], returns.kind, returns.instance,
            speed[returns.instance],
        )  # fmt: skip


def _is_around(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which points (N, 3) are returns from something else than the own vehicle."""
    far = np.linalg.norm(points, axis=1)
    return np.asarray(np.isfinite(far) & (far > _OWN_M))
