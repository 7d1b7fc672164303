"""Solids and the bodies made of them, as rows of numbers."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt

from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim.ray_records import BOX, CYLINDER, ELLIPSOID

__all__ = ["BOX", "COLUMNS", "CYLINDER", "ELLIPSOID", "Body", "Solid", "body"]

Body = npt.NDArray[np.float64]
# Columns of a solid's row. Lengths in metres, body frame: x forward, origin on the ground.
SHAPE, CENTER, HALF, ANGLES = 0, slice(1, 4), slice(4, 7), slice(7, 10)
SURFACE, DENSITY, REFLECTIVITY, KIND, SWING, PHASE, GESTURE, PIVOT = range(10, 18)
GLOSS, FADE, FLEX, HINGE = 18, 19, 20, 21
COLUMNS = 22


@dataclass(frozen=True)
class Solid:
    """One solid of a body.

    Attributes:
        shape: BOX, CYLINDER or ELLIPSOID.
        center: x, y, z in the body, metres.
        size: full lengths along the solid's own axes, metres; a cylinder stands on its z axis.
        kind: what it belongs to. reflectivity: 0..1.
        angles: roll, pitch, yaw in the body, radians.
        surface: chance that the surface returns a ray.
        density: returns a metre inside, for rays that the surface let through.
        swing, phase: amplitude and phase (radians) with which a limb swings about the body's y
            axis, at height `pivot` above its centre's foot, while its body walks.
        gesture: amplitude of the same joint while its body gesticulates.
        gloss: for surfaces that let rays through: above zero, as glass, the chance is the cosine
            of the incidence to this power; below zero, as wire mesh, it grows to the side.
        fade: range (m) beyond which a thin surface returns nothing; for porous bodies the mean
            of their lumps' ranges. 0: none.
        flex: how far (radians) the joint at height `hinge` of a limb bends backwards as the limb
            comes forward, for what is below it: a knee, for a shank and its foot.
    """

    shape: int
    center: tuple[float, ...]
    size: tuple[float, ...]
    kind: Kind
    reflectivity: float
    _: KW_ONLY
    angles: tuple[float, ...] = (0.0, 0.0, 0.0)
    surface: float = 1.0
    density: float = 0.0
    swing: float = 0.0
    phase: float = 0.0
    gesture: float = 0.0
    pivot: float = 0.0
    gloss: float = 0.0
    fade: float = 0.0
    flex: float = 0.0
    hinge: float = 0.0

    @property
    def row(self) -> tuple[float, ...]:
        """Its numbers, in the order of the columns."""
        half = tuple(max(s, 0.01) / 2 for s in self.size)
        return (self.shape, *self.center, *half, *self.angles, self.surface, self.density,
                self.reflectivity, float(self.kind), self.swing, self.phase, self.gesture,
                self.pivot, self.gloss, self.fade, self.flex, self.hinge)  # fmt: skip


def body(solids: list[Solid]) -> Body:
    """Rows (S, COLUMNS) of a body's solids."""
    return np.array([s.row for s in solids], dtype=np.float64).reshape(-1, COLUMNS)
