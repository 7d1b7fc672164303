"""What goes into ray casting and comes out of it: rays, solids, hits. Compiled code takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
BOX, CYLINDER, ELLIPSOID = 0, 1, 2
NOTHING = -1


class FiredRays(NamedTuple):
    """N rays as they leave in one sweep, in B azimuth bins and by ascending elevation within one.

    Attributes:
        directions: (N, 3) float32 unit vectors, world.
        offsets: (N, 3) float32 origins relative to the sweep's first one, metres, world.
        elevations: (N,) float32 in the sensor frame, radians.
        fractions: (N,) float32 firing time within the sweep, 0..1.
        bin_start, first_azimuth: (B + 1,) int64 and radians, see `kdmos_ros.sim.sensors.Rays`.
    """

    directions: Floats
    offsets: Floats
    elevations: Floats
    fractions: Floats
    bin_start: npt.NDArray[np.int64]
    first_azimuth: float


class Materials(NamedTuple):
    """What M solids are made of; see `kdmos_ros.sim.solids.Solid`.

    Attributes:
        surface: (M,) float32 chance that the surface stops a ray.
        density: (M,) float32 stops a metre inside.
        gloss: (M,) float32 power of the cosine. fade: (M,) float32 metres.
    """

    surface: Floats
    density: Floats
    gloss: Floats
    fade: Floats


class MovingSolids(NamedTuple):
    """M solids in one sweep.

    Attributes:
        shape: (M,) int64, BOX, CYLINDER or ELLIPSOID.
        center: (M, 3) float32 relative to the origin of the sweep's first ray, metres, world.
        axes: (M, 3, 3) float32, whose rows are the solid's axes in the world.
        half: (M, 3) float32 half lengths along them, metres.
        shift, turn: (M, 3) metres and (M,) radians, float32: how far each moves and yaws within
            the sweep.
        window: (M, 5) float32 where the sensor sees each, see `solid_bounds`.
        order: (K,) int64 those that are in reach, from near to far.
        material: what they are made of.
    """

    shape: npt.NDArray[np.int64]
    center: Floats
    axes: Floats
    half: Floats
    shift: Floats
    turn: Floats
    window: Floats
    order: npt.NDArray[np.int64]
    material: Materials


class Hits(NamedTuple):
    """What N rays meet first; the casters update it.

    Attributes:
        ranges: (N,) float32 metres; before anything is met, as far as the ray can go.
        surface: (N,) int32 number of the solid met, NOTHING, or a code of `raycast_terrain`.
        cosine: (N,) float32 of the incidence, 1 for a ray that meets the surface upright.
    """

    ranges: Floats
    surface: npt.NDArray[np.int32]
    cosine: Floats
