"""A drive through a simulated scene, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import invert
from kdmos_ros.labels import MOVING, STATIC, UNLABELLED
from kdmos_ros.object_kinds import Kind, draw_reflectivity
from kdmos_ros.pointcloud.deskewing import deskew, knot_times, sensor_motion
from kdmos_ros.scan import Scan
from kdmos_ros.sim.mounting import draw_mount
from kdmos_ros.sim.odometry_noise import noisy_odometry
from kdmos_ros.sim.scan_rendering import Renderer, Returns
from kdmos_ros.sim.scenes import SCENES, SHARES
from kdmos_ros.sim.sensors import Sensor, draw_blind_zone, find_sensor, make_rays
from kdmos_ros.sim.staging import EGO_MODES, Stage
from kdmos_ros.sim.world import World

EPOCH_NS = 1_700_000_000 * 10**9
_MAX_RATE, _MAX_TIME = 100.0, 600.0


@dataclass(frozen=True)
class SimFrame:
    """One simulated scan with its ground truth.

    Attributes:
        scan: returns only; its pose is the noisy odometry, T_odom_sensor.
        labels: (N,) uint8, see `kdmos_ros.labels`. Unlabelled are stray points, points mixed of a
            moving and another surface, and in some scenes what hardly moves.
        instance: (N,) int32, 1.. for traffic participants, else 0.
        kind: (N,) uint8, see `kdmos_ros.object_kinds.Kind`.
        true_pose: (4, 4) float64, T_world_sensor at the stamp.
        seconds: (N,) float32, when each point was taken, after the stamp; all zero without sweep
            distortion.
    """

    scan: Scan
    labels: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.int32]
    kind: npt.NDArray[np.uint8]
    true_pose: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float32]


@dataclass(frozen=True)
class SweepTiming:
    """When in a sweep its points and its stamp are taken.

    Attributes:
        distorted: points are taken one after the other while everything moves, and stay in the
            frame of the sensor at their own time, as in a cloud that is not deskewed; otherwise
            all at once.
        stamp_fraction: where in the sweep the stamp (pose, labels) is taken: 0 first point,
            1 last. With the head turning clockwise from the back, 0.5 is when it looks ahead.
        seam_drift_deg_s: of a head whose turning is not locked to the scans: each sweep begins
            where the last ended, somewhere that wanders so fast, degrees a second. None: sweeps
            begin facing backwards.
    """

    distorted: bool = False
    stamp_fraction: float = 0.5
    seam_drift_deg_s: float | None = None


AT_ONCE = SweepTiming()
DISTORTED = SweepTiming(distorted=True)


class Drive:
    """A sequence of frames. Iterate it, or take any frame by its index: frames do not depend on
    which were taken before.

    Attributes:
        sensor: the LiDAR model. base_T_sensor: (4, 4) its mount.
        base_poses: (K, 4, 4) noisy odom_T_base; true_base_poses: (K, 4, 4) world_T_base.
        stamps_ns: list of K stamps. world: the scene. scene, ego: what was drawn.
        sweep: when in a sweep points are taken.
    """

    def __init__(
        self, world: World, sensor: Sensor, base_T_sensor: npt.NDArray[np.float64],
        times: npt.NDArray[np.float64], seed: int, sweep: SweepTiming, odometry_noise: bool,
        scene: str, ego: str,
    ) -> None:  # fmt: skip
        self.world, self.sensor, self.base_T_sensor = world, sensor, base_T_sensor
        self.scene, self.ego, self.times = scene, ego, times
        self.sweep, self._seed = sweep, seed
        self._seam_start = float(np.random.default_rng([seed, 3]).uniform(-np.pi, np.pi))
        self.stamps_ns = [EPOCH_NS + round(t * 1e9) for t in times]
        self.true_base_poses = np.array([world.ego_pose(t) for t in times])
        rng = np.random.default_rng([seed, 1])
        if odometry_noise:
            self.base_poses = noisy_odometry(rng, self.true_base_poses, times)
        else:
            self.base_poses = invert(self.true_base_poses[0]) @ self.true_base_poses
        self._elevation_error = rng.normal(0, 8e-4, sensor.beams).astype(np.float32)
        self._reflectivity = np.array(
            [draw_reflectivity(rng, k) for k in (Kind.ROAD, Kind.PAVEMENT, Kind.TERRAIN)]
        )
        gain = float(rng.lognormal(0.0, 0.25))
        # Each beam's own calibration error; multi-laser sensors have some centimetres of it.
        bias = rng.normal(0, 0.8 * sensor.range_noise, sensor.beams).astype(np.float32)
        self._renderer = Renderer(
            world, sensor, self._reflectivity, gain, bias, draw_blind_zone(sensor, rng)
        )

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[SimFrame]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> SimFrame:
        index = range(len(self))[index]
        time, sweep_s = float(self.times[index]), self.sensor.sweep_s
        rng = np.random.default_rng([self._seed, 2, index])
        seam = None
        if self.sweep.seam_drift_deg_s is not None:
            seam = self._seam_start + float(np.deg2rad(self.sweep.seam_drift_deg_s)) * time
        rays = make_rays(self.sensor, rng, self._elevation_error, seam)
        begin = end = time
        if self.sweep.distorted:
            begin = time - self.sweep.stamp_fraction * sweep_s
            end = begin + sweep_s
        poses = [self.world.ego_pose(t) @ self.base_T_sensor for t in (begin, end)]
        returns = self._renderer.sweep(rays, poses, (begin, end), int(rng.integers(2**62)))
        labels = self._labels(time, returns)
        scan = Scan(
            points=returns.points,
            intensity=returns.intensity if self.sensor.has_intensity else None,
            stamp_ns=self.stamps_ns[index],
            pose=self.base_poses[index] @ self.base_T_sensor,
        )
        true_pose = self.true_base_poses[index] @ self.base_T_sensor
        seconds = (begin - time) + returns.fraction * np.float32(end - begin)
        return SimFrame(
            scan, labels, returns.instance, returns.kind, true_pose, seconds.astype(np.float32)
        )

    def deskewed(self, frame: SimFrame) -> Scan:
        """A frame's scan with each point where the sensor would have seen it at the stamp.

        The world is taken as standing still, and the sensor's own motion as known.
        """
        scan = frame.scan
        if not len(scan.points):
            return scan
        knots = knot_times(float(frame.seconds.min()), float(frame.seconds.max()))
        time = (scan.stamp_ns - EPOCH_NS) * 1e-9
        poses = [self.world.ego_pose(time + t) @ self.base_T_sensor for t in knots]
        motion = sensor_motion(poses, frame.true_pose)
        return replace(scan, points=deskew(scan.points, frame.seconds, knots, motion))

    def _labels(self, time: float, returns: Returns) -> npt.NDArray[np.uint8]:
        ground = np.full(4, STATIC, dtype=np.uint8)
        table = np.concatenate([self.world.labels(time), ground])
        labels = table[returns.solid]
        mixed = np.flatnonzero(returns.solid != returns.other)
        blurred = (labels[mixed] == MOVING) != (table[returns.other[mixed]] == MOVING)
        labels[mixed[blurred]] = UNLABELLED
        return labels


def _choose(rng: np.random.Generator, given: Any, options: tuple[str, ...], p: tuple[float, ...],
            what: str) -> str:  # fmt: skip
    drawn = options[int(rng.choice(len(options), p=p))]
    if given is None:
        return drawn
    if given not in options:
        raise KdmosError(f"no {what} {given!r}; there are {', '.join(options)}")
    return str(given)


def make_drive(
    seed: int,
    sensor: str | Sensor = "hdl64e",
    duration_s: float = 20.0,
    rate_hz: float | None = None,
    scene: str | None = None,
    movers: bool | None = None,
    ego: str | None = None,
    sweep: SweepTiming = AT_ONCE,
    odometry_noise: bool = True,
    start_s: float = 0.0,
) -> Drive:
    """Draw a drive. Equal arguments give equal drives.

    Args:
        sensor: a name in `SENSORS`, or a LiDAR as `sim.mounting` mounts it.
        duration_s: from the first scan to the end; the drive has duration_s * rate_hz scans.
        rate_hz: scans a second; None: the sensor's usual rate. The time of one sweep is the
            sensor's, whatever the rate.
        scene: "street", "crossing", "car_park", "field", "pavement", "queue" or "hall"; None draws
            one of the first four.
        movers: whether anything but the ego moves; None draws it (no in three drives of ten).
        ego: "standing", "creeping", "driving", "turning", or None to draw one.
        sweep: when in a sweep its points and its stamp are taken.
        odometry_noise: False: exact poses.
        start_s: time in the life of the scene at which the first scan is taken.

    Raises:
        KdmosError: an unknown name, or a duration or rate that makes no sense.
    """
    model = find_sensor(sensor) if isinstance(sensor, str) else sensor
    rate = model.rate_hz if rate_hz is None else rate_hz
    if not (0 < rate <= _MAX_RATE and duration_s > 0 and 0 <= start_s <= _MAX_TIME - duration_s):
        raise KdmosError(
            f"a drive needs a rate of 0..{_MAX_RATE:g} Hz (got {rate:g}), a duration above 0"
            f" (got {duration_s:g} s) and an end within {_MAX_TIME:g} s"
        )
    rng = np.random.default_rng([seed, 0])
    names = tuple(SCENES)
    scene = _choose(rng, scene, names, SHARES, "scene")
    ego = _choose(rng, ego, EGO_MODES, (0.12, 0.12, 0.64, 0.12), "ego mode")
    drawn = bool(rng.random() < 0.7)
    stage = Stage(rng, start_s + duration_s, drawn if movers is None else movers, ego)
    world = World(SCENES[scene](stage), rng)
    times = start_s + np.arange(max(1, round(duration_s * rate))) / rate
    mount = draw_mount(rng, model)
    return Drive(world, model, mount, times, seed, sweep, odometry_noise, scene, ego)
