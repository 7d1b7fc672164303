"""The ground: a gentle height field with roads cut into it, kerbs, crowns and banks.

Height is h(x, y) = base + profile(e), where e is the signed distance to the edge of the
carriageway (positive outside). Base and e live on one grid and are interpolated bilinearly, so
a kerb stays sharp although the cells are 2 m wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kdmos_ros.sim.paths import Path

CELL = 2.0
_REACH = 95.0  # ground beyond the paths (m)
Array = npt.NDArray[Any]
# Indices of Ground.profile.
KERB, CROWN, PAVEMENT, BANK, ROUGH = range(5)


@dataclass(frozen=True)
class Ground:
    """Height field.

    Attributes:
        grid: (nx, ny, 2) float32, base height and signed distance to the road's edge, metres.
        origin: (2,) float32, world position of grid[0, 0].
        profile: (5,) float32: kerb height, slope of the crown, width of the pavement, slope of
            the bank behind it, roughness of the terrain (one standard deviation, metres).
    """

    grid: npt.NDArray[np.float32]
    origin: npt.NDArray[np.float32]
    profile: npt.NDArray[np.float32]

    def height(self, x: Array, y: Array) -> npt.NDArray[np.float64]:
        """Height at x, y of any one shape."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(y, np.float32))
        out = np.empty(x.size)
        _heights(self.grid, self.origin, self.profile, x.ravel(), y.ravel(), out)
        return out.reshape(x.shape)

    def tilt(self, x: Array, y: Array, yaw: Array, span: float = 2.5) -> tuple[Array, Array]:
        """Pitch (nose down positive) and roll of a body standing at x, y with heading yaw."""
        c, s, d = np.cos(yaw), np.sin(yaw), span / 2
        rise = self.height(x + d * c, y + d * s) - self.height(x - d * c, y - d * s)
        bank = self.height(x - d * s, y + d * c) - self.height(x + d * s, y - d * c)
        return -np.arctan(rise / span), np.arctan(bank / span)


@njit(cache=True, nogil=True, fastmath=True)
def sample(grid, origin, profile, x, y):  # type: ignore[no-untyped-def]
    """Height and distance to the road's edge at one place; the grid's border goes on outside."""
    u = min(max((x - origin[0]) / np.float32(CELL), np.float32(0)), grid.shape[0] - 1.001)
    v = min(max((y - origin[1]) / np.float32(CELL), np.float32(0)), grid.shape[1] - 1.001)
    i, j = int(u), int(v)
    a, b = np.float32(u - i), np.float32(v - j)
    one = np.float32(1)
    w00, w01, w10, w11 = (one - a) * (one - b), (one - a) * b, a * (one - b), a * b
    base = (w00 * grid[i, j, 0] + w01 * grid[i, j + 1, 0]
            + w10 * grid[i + 1, j, 0] + w11 * grid[i + 1, j + 1, 0])  # fmt: skip
    edge = (w00 * grid[i, j, 1] + w01 * grid[i, j + 1, 1]
            + w10 * grid[i + 1, j, 1] + w11 * grid[i + 1, j + 1, 1])  # fmt: skip
    kerb, crown, pavement, bank = profile[KERB], profile[CROWN], profile[PAVEMENT], profile[BANK]
    if edge < 0:
        base += crown * min(-edge, np.float32(4.0))
    else:
        base += kerb * min(edge * np.float32(12.0), one)
        if edge > pavement:
            base += bank * min(edge - pavement, np.float32(12.0))
    return base, edge


@njit(cache=True, nogil=True)
def _heights(grid, origin, profile, x, y, out):  # type: ignore[no-untyped-def]
    for n in range(len(x)):
        out[n] = sample(grid, origin, profile, x[n], y[n])[0]


@njit(cache=True, nogil=True)
def _distance_to_lines(xs, ys, lines, half_width, edge):  # type: ignore[no-untyped-def]
    """edge (nx, ny) = min over road points (K, 2) of the distance, minus the half width."""
    for i in range(len(xs)):
        for j in range(len(ys)):
            best, nearest = np.float32(1e9), 0
            for k in range(0, len(lines), 8):  # coarse, then fine around the nearest
                dx, dy = xs[i] - lines[k, 0], ys[j] - lines[k, 1]
                if dx * dx + dy * dy < best:
                    best, nearest = dx * dx + dy * dy, k
            for k in range(max(nearest - 8, 0), min(nearest + 9, len(lines))):
                dx, dy = xs[i] - lines[k, 0], ys[j] - lines[k, 1]
                best = min(best, dx * dx + dy * dy)
            edge[i, j] = min(edge[i, j], np.sqrt(best) - half_width)


def _waves(rng: np.random.Generator, x: Array, y: Array, slope: float) -> Array:
    height = np.zeros((len(x), len(y)))
    for _ in range(5):
        wavelength = rng.uniform(12, 140)
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        k = 2 * np.pi / wavelength
        argument = k * (x[:, None] * np.cos(angle) + y[None, :] * np.sin(angle)) + phase
        height += slope * rng.random() / k * np.sin(argument)
    return height


def make_ground(
    rng: np.random.Generator,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    roads: list[tuple[Array, float]],
    paved: bool = False,
    wild: bool = False,
) -> Ground:
    """Draw a ground.

    Args:
        low, high: (2,) corners of the area, metres.
        roads: centre lines (K, 2), about 1 m from point to point, with half widths.
        paved: everything that is not a road is paved as well (a car park).
        wild: rough open terrain.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    nx, ny = (np.ceil((high - low) / CELL).astype(int) + 1).tolist()
    x, y = low[0] + CELL * np.arange(nx), low[1] + CELL * np.arange(ny)
    steep = rng.random() < 0.3
    gradient = rng.normal(0, 0.035 if steep else 0.006, 2)
    base = gradient[0] * x[:, None] + gradient[1] * y[None, :]
    base = base + _waves(rng, x, y, 0.02 if wild else 0.006)
    edge = np.full((nx, ny), -20.0 if paved else 60.0, dtype=np.float32)
    for line, half_width in roads:
        _distance_to_lines(
            x.astype(np.float32), y.astype(np.float32), line.astype(np.float32),
            np.float32(half_width), edge,
        )  # fmt: skip
    # Roads are even to half a centimetre; verges and gardens are not.
    bumps = np.where(edge > 0.5, rng.uniform(0.01, 0.06), rng.uniform(0.0015, 0.005))
    base = base + bumps * rng.normal(size=(nx, ny))
    profile = np.array(
        [
            rng.uniform(0.08, 0.15) if rng.random() < 0.8 and not wild else 0.0,
            rng.uniform(0.0, 0.035),
            0.0 if wild else rng.uniform(1.5, 5.0),
            rng.choice([0.0, rng.uniform(-0.12, 0.25)], p=[0.4, 0.6]),
            rng.uniform(0.02, 0.1) if wild else rng.uniform(0.01, 0.08),
        ]
    )
    grid = np.stack([base, edge], axis=-1).astype(np.float32)
    return Ground(grid, low.astype(np.float32), profile.astype(np.float32))


def ground_around(
    rng: np.random.Generator,
    paths: list[Path],
    roads: list[tuple[Array, float]],
    paved: bool = False,
    wild: bool = False,
) -> Ground:
    """A ground that reaches far enough around paths; see `make_ground`."""
    xy = np.concatenate([p.xy for p in paths])
    return make_ground(rng, xy.min(0) - _REACH, xy.max(0) + _REACH, roads, paved, wild)
