"""LiDAR models: where a sensor's rays point and when each is fired.

Beam tables follow the makers' manuals (Velodyne HDL-64E S2, HDL-32E, VLP-16; Ouster OS1 gen 1;
a 40-beam table as in the Hesai Pandar40; the 128 beams of a Velodyne VLS-128 and of a Hesai
Pandar128E3X, dense about the horizon). The non-repetitive sensors are stand-ins with the fields
of view and point rates of a Livox Mid-360 and Avia, not their true prism patterns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sensor:
    """One LiDAR model.

    Attributes:
        elevations_deg: beam elevations, ascending; empty for a non-repetitive sensor, whose field
            of view is then `field_deg`.
        width_deg, horizon: of such a one, too: how much of the turn it sees, ahead; and how much
            denser its points are below than above (1: not at all).
        columns: firings a turn (spinning), or points a scan (non-repetitive).
        rate_hz: usual scan rate.
        sweep_s: time from a scan's first to its last point.
        max_range, range_noise: metres; the noise is one standard deviation.
        sensitivity: the greater, the farther a dark or grazed surface is still seen.
        mount: lowest and highest usual mounting height in metres.
        mount_usual: the height that half of the drives have, or None.
        attitude_deg: roll, pitch, yaw of the sensor on the robot, about fixed axes.
    """

    name: str
    elevations_deg: tuple[float, ...]
    columns: int
    rate_hz: float = 10.0
    sweep_s: float = 0.1
    min_range: float = 0.9
    max_range: float = 100.0
    range_noise: float = 0.015
    sensitivity: float = 1.0
    has_intensity: bool = True
    mount: tuple[float, float] = (1.5, 2.3)
    mount_usual: float | None = None
    attitude_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    field_deg: tuple[float, float] = (0.0, 0.0)
    width_deg: float = 360.0
    horizon: float = 1.3

    @property
    def beams(self) -> int:
        return len(self.elevations_deg)


def _table(start: float, stop: float, count: int) -> tuple[float, ...]:
    return tuple(float(e) for e in np.linspace(start, stop, count))


_HDL64E = _table(-24.33, -8.83, 32) + _table(-8.33, 2.0, 32)
_PANDAR40 = _table(-16, -7, 10) + _table(-6, 2, 25) + _table(3, 7, 5)
_VLS128 = (
    *(-25.0, -19.582, -16.042, -13.565, -11.742, -10.346, -9.244, -8.352, -7.65, -7.15, -6.85),
    *(-6.65, -6.5, *_table(-6.39, 4.83, 103), 4.98, 5.18, 5.43, 5.73, 6.08, 6.48, 6.98, 7.58),
    *(8.43, 9.7, 11.75, 15.0),
)
_PANDAR128 = (-25.0, *_table(-24.5, -6.5, 37), *_table(-6, 2, 65), *_table(2.5, 14, 24), 15.0)

SENSORS: dict[str, Sensor] = {
    s.name: s
    for s in (
        Sensor("hdl64e", _HDL64E, 2083, max_range=80.0, mount_usual=1.73),
        Sensor("hdl32e", _table(-30.67, 10.67, 32), 2170, mount=(1.2, 2.3)),
        Sensor("vlp16", _table(-15, 15, 16), 1800, mount=(0.4, 2.1), range_noise=0.02),
        Sensor("os1_64", _table(-16.6, 16.6, 64), 1024, mount=(0.5, 2.2), sensitivity=0.7),
        Sensor("os1_128", _table(-22.5, 22.5, 128), 1024, mount=(0.5, 2.2), sensitivity=0.7),
        Sensor("pandar40", _PANDAR40, 1800, rate_hz=5.0, max_range=150.0, sensitivity=1.3,
               has_intensity=False, mount=(1.6, 2.4)),
        Sensor("vls128", _VLS128, 1800, max_range=130.0, sensitivity=1.4, mount=(1.6, 2.4)),
        Sensor("pandar128", _PANDAR128, 1800, max_range=130.0, sensitivity=1.4, range_noise=0.01,
               mount=(1.6, 2.4)),
        Sensor("mid360", (), 20000, max_range=60.0, range_noise=0.02, sensitivity=0.6,
               min_range=0.3, mount=(0.4, 1.6), field_deg=(-7.0, 52.0)),
        Sensor("avia", (), 24000, max_range=150.0, range_noise=0.02, mount=(1.0, 2.2),
               field_deg=(-38.6, 38.6), width_deg=70.4, horizon=1.0),
    )
}  # fmt: skip


def find_sensor(name: str) -> Sensor:
    """The sensor of that name.

    Raises:
        KdmosError: no such sensor.
    """
    try:
        return SENSORS[name]
    except KeyError:
        raise KdmosError(f"no sensor {name!r}; there are {', '.join(SENSORS)}") from None


@dataclass(frozen=True)
class Rays:
    """Rays of one sweep, grouped into azimuth bins and by ascending elevation within a bin.

    Attributes:
        directions: (N, 3) float32 unit vectors, sensor frame.
        elevations: (N,) float32, radians.
        fractions: (N,) float32, firing time within the sweep, 0..1.
        bin_start: (B + 1,) int64, rays of bin b are bin_start[b] .. bin_start[b + 1]. Bin b spans
            the azimuths first_azimuth + [b - 0.5, b + 0.5) * 2 pi / B.
        first_azimuth: radians.
        stride: rays from one to its neighbour at the same elevation, 0 where there is none.
    """

    directions: Floats
    elevations: Floats
    fractions: Floats
    bin_start: npt.NDArray[np.int64]
    first_azimuth: float
    stride: int


def make_rays(
    sensor: Sensor, rng: np.random.Generator, elevation_error: Floats, seam: float | None = None
) -> Rays:
    """Rays of one sweep. The head turns clockwise and starts (fraction 0) facing backwards.

    Args:
        rng: draws the phase of the sweep, so that no two scans look along the same rays.
        elevation_error: (beams,) float32 radians, the calibration error of this specimen.
        seam: azimuth (radians) where a head that does not start facing backwards starts instead;
            nothing changes but when each ray is fired. Non-repetitive sensors have none.
    """
    if not sensor.elevations_deg:
        return _rosette(sensor, rng)
    n, beams = sensor.columns, sensor.beams
    step = 2 * np.pi / n
    first = -np.pi + step * float(rng.random())
    azimuth = (first + step * np.arange(n)).astype(np.float32)
    elevation = np.deg2rad(np.asarray(sensor.elevations_deg, dtype=np.float32)) + elevation_error
    elevation = np.sort(elevation)
    directions = np.empty((n, beams, 3), dtype=np.float32)
    directions[..., 0] = np.cos(azimuth)[:, None] * np.cos(elevation)
    directions[..., 1] = np.sin(azimuth)[:, None] * np.cos(elevation)
    directions[..., 2] = np.sin(elevation)
    fraction = np.clip((np.pi - azimuth) / (2 * np.pi), 0, 1).astype(np.float32)
    if seam is not None:
        fraction = np.mod((seam - azimuth) / (2 * np.pi), 1.0).astype(np.float32)
    return Rays(
        directions=directions.reshape(-1, 3),
        elevations=np.tile(elevation, n),
        fractions=np.repeat(fraction, beams),
        bin_start=np.arange(n + 1, dtype=np.int64) * beams,
        first_azimuth=first,
        stride=beams,
    )


def _rosette(sensor: Sensor, rng: np.random.Generator) -> Rays:
    n, bins = sensor.columns, 720
    index = np.arange(n)
    # Incommensurate turns in azimuth and sweeps in elevation never come back to the same place.
    azimuth = 2 * np.pi * np.mod(rng.random() + index * 0.0053931, 1.0) - np.pi
    azimuth *= sensor.width_deg / 360
    swing = np.abs(2 * np.mod(rng.random() + index * 0.0218837, 1.0) - 1)
    low, high = np.deg2rad(sensor.field_deg)
    # More points near the horizon than above, as in the Mid-360's real pattern.
    elevation = low + (high - low) * swing**sensor.horizon
    step = 2 * np.pi / bins
    bin_of = np.clip(np.floor((azimuth + np.pi) / step), 0, bins - 1).astype(np.int64)
    order = np.lexsort((elevation, bin_of))
    azimuth, elevation = azimuth[order].astype(np.float32), elevation[order].astype(np.float32)
    level = np.cos(elevation)
    directions = [level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)]
    return Rays(
        directions=np.stack(directions, axis=-1),
        elevations=elevation,
        fractions=(order / n).astype(np.float32),
        bin_start=np.concatenate([[0], np.cumsum(np.bincount(bin_of, minlength=bins))]),
        first_azimuth=-np.pi + step / 2,
        stride=0,
    )


def draw_blind_zone(sensor: Sensor, rng: np.random.Generator) -> Floats | None:
    """Where a vehicle's own body blocks the view: see `Renderer`; None for no such place.

    Roof edges, bonnet and corners hide a few steep beams over some tens of degrees each. A sensor
    that does not stand upright looks past them.
    """
    if rng.random() < 0.35 or any(sensor.attitude_deg):
        return None
    lowest = sensor.elevations_deg[0] if sensor.elevations_deg else sensor.field_deg[0]
    limit: Floats = np.full(360, -90.0, dtype=np.float32)
    degrees = np.arange(360)
    for _ in range(int(rng.integers(2, 9))):
        middle, half = rng.uniform(0, 360), rng.uniform(5, 35)
        off = np.abs((degrees - middle + 180) % 360 - 180) / half
        top = lowest + rng.uniform(0.5, 8.0)
        bump = np.where(off < 1, top - 5.0 * off**4, -90.0).astype(np.float32)
        limit = np.maximum(limit, bump)
    return np.deg2rad(limit).astype(np.float32)
