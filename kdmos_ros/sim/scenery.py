"""Bodies of static things: trees, bushes, hedges, fences, walls, poles, signs, buildings."""

from __future__ import annotations

import numpy as np

from kdmos_ros.object_kinds import Kind, draw_reflectivity
from kdmos_ros.sim.solids import BOX, CYLINDER, ELLIPSOID, Body, Solid, body

_DEPTH = 2.0  # things on slopes reach this far into the ground (m)


def _density(rng: np.random.Generator) -> float:
    """Returns a metre of foliage: from a bare crown in winter to a clipped hedge."""
    return float(np.exp(rng.uniform(np.log(0.15), np.log(5.0))))


def _fade(rng: np.random.Generator) -> float:
    """Range at which twigs and leaves are lost; 0 for plants that never are, a third of them."""
    return float(rng.uniform(12, 75)) if rng.random() < 0.67 else 0.0


def draw_tree(rng: np.random.Generator) -> Body:
    """A trunk, some branches and a crown of a few porous clumps."""
    trunk = float(rng.uniform(0.4, 4.0))
    thick, crown = float(rng.uniform(0.12, 0.6)), float(rng.uniform(1.5, 5.5))
    lean = rng.normal(0, 0.04, 2)
    bark, leaf = draw_reflectivity(rng, Kind.TRUNK), draw_reflectivity(rng, Kind.VEGETATION)
    parts = [Solid(CYLINDER, (0, 0, trunk / 2), (thick, thick, trunk + 1.5), Kind.TRUNK, bark,
                   angles=(float(lean[0]), float(lean[1]), 0.0))]  # fmt: skip
    density, fade = _density(rng), _fade(rng)
    for _ in range(int(rng.integers(2, 6))):
        size = crown * rng.uniform(0.5, 1.0, 3)
        at = rng.normal(0, 0.22 * crown, 2)
        z = trunk + rng.uniform(0.1, 0.9) * crown
        parts.append(Solid(ELLIPSOID, (at[0], at[1], z), tuple(size), Kind.VEGETATION, leaf,
                           surface=0.0, density=density * rng.uniform(0.4, 2.0),
                           fade=fade * rng.uniform(0.7, 1.4)))  # fmt: skip
    for _ in range(int(rng.integers(0, 4))):
        roll, pitch = rng.normal(0, 0.6, 2)
        parts.append(Solid(CYLINDER, (0.5 * pitch, -0.5 * roll, trunk + 0.8),
                           (0.3 * thick, 0.3 * thick, 2.2), Kind.TRUNK, bark,
                           angles=(roll, pitch, 0), surface=0.9, fade=fade))  # fmt: skip
    return body(parts)


def draw_sapling(rng: np.random.Generator) -> Body:
    """A thin stem with a few light clumps, each of which comes into view at a range of its own."""
    tall, thick = float(rng.uniform(1.5, 5.0)), float(rng.uniform(0.03, 0.1))
    leaf = draw_reflectivity(rng, Kind.VEGETATION)
    parts = [Solid(CYLINDER, (0, 0, tall / 2), (thick, thick, tall + 0.5), Kind.TRUNK, 0.3,
                   angles=tuple(rng.normal(0, 0.05, 3)), surface=0.95,
                   fade=thick * rng.uniform(250, 900))]  # fmt: skip
    for _ in range(int(rng.integers(1, 5))):
        size, (x, y) = rng.uniform(0.4, 1.6, 3), rng.normal(0, 0.5, 2)
        parts.append(Solid(ELLIPSOID, (x, y, tall * rng.uniform(0.3, 1.1)), tuple(size),
                           Kind.VEGETATION, leaf, surface=0.0, density=rng.uniform(0.5, 4.0),
                           fade=rng.uniform(8, 60)))  # fmt: skip
    return body(parts)


def draw_bush(rng: np.random.Generator) -> Body:
    """One to four porous clumps that stand on the ground, 0.4-3 m tall."""
    tall, leaf = float(rng.uniform(0.4, 3.0)), draw_reflectivity(rng, Kind.VEGETATION)
    density, fade, parts = _density(rng), _fade(rng), []
    for _ in range(int(rng.integers(1, 5))):
        h = tall * rng.uniform(0.5, 1.0)
        at, w = rng.normal(0, 0.4 * tall, 2), h * rng.uniform(0.6, 1.5, 2)
        parts.append(Solid(ELLIPSOID, (at[0], at[1], 0.4 * h), (w[0], w[1], 1.2 * h),
                           Kind.VEGETATION, leaf, surface=0.0,
                           density=density * rng.uniform(0.5, 2.0), fade=fade))  # fmt: skip
    return body(parts)


def draw_thicket(rng: np.random.Generator) -> Body:
    """Wild growth, 5-14 m long along x: many clumps of any density, tall grass and thin stems."""
    long, deep = rng.uniform(5, 14), rng.uniform(1.5, 5.0)
    tall, leaf = rng.uniform(0.6, 3.5), draw_reflectivity(rng, Kind.VEGETATION)
    parts = []
    for _ in range(int(rng.integers(6, 16))):
        x, y = rng.uniform(-0.5, 0.5, 2) * (long, deep)
        size = tall * rng.uniform(0.3, 1.0) * rng.uniform(0.6, 1.4, 3)
        parts.append(Solid(ELLIPSOID, (x, y, rng.uniform(0.2, 0.6) * size[2]), tuple(size),
                           Kind.VEGETATION, leaf, surface=0.0, density=_density(rng),
                           fade=_fade(rng)))  # fmt: skip
    parts.append(Solid(BOX, (0, 0, 0.1), (long, deep, rng.uniform(0.3, 0.9)), Kind.VEGETATION, leaf,
                       surface=0.0, density=0.5 * _density(rng), fade=_fade(rng)))  # fmt: skip
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(-0.5, 0.5, 2) * (long, deep)
        thick = rng.uniform(0.04, 0.2)
        parts.append(Solid(CYLINDER, (x, y, 1.5), (thick, thick, 4.0), Kind.TRUNK, 0.3,
                           angles=tuple(rng.normal(0, 0.15, 3)), surface=0.9,
                           fade=300 * thick))  # fmt: skip
    return body(parts)


def draw_wood(rng: np.random.Generator) -> Body:
    """The edge of a wood, long along x: rays end at any depth, on other twigs in every scan."""
    long, deep = float(rng.uniform(8, 28)), float(rng.uniform(3, 14))
    tall, leaf = float(rng.uniform(3, 12)), draw_reflectivity(rng, Kind.VEGETATION)
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        size = (long, deep, tall) * rng.uniform(0.5, 1.0, 3)
        x, y = rng.uniform(-0.25, 0.25, 2) * (long, deep)
        density = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
        parts.append(Solid(BOX, (x, y, rng.uniform(0.3, 0.8) * size[2]), tuple(size),
                           Kind.VEGETATION, leaf, surface=0.0, density=density))  # fmt: skip
    bark = draw_reflectivity(rng, Kind.TRUNK)
    for _ in range(int(rng.integers(3, 16))):
        x, y = rng.uniform(-0.5, 0.5, 2) * (long, deep)
        thick = float(rng.uniform(0.05, 0.3))
        parts.append(Solid(CYLINDER, (x, y, 0.5 * tall), (thick, thick, tall + 1), Kind.TRUNK, bark,
                           angles=tuple(rng.normal(0, 0.06, 3)), surface=0.97,
                           fade=thick * rng.uniform(250, 900)))  # fmt: skip
    return body(parts)


def draw_hedge(rng: np.random.Generator, length: float) -> Body:
    """A row of porous boxes along x."""
    tall, wide = float(rng.uniform(0.6, 2.4)), float(rng.uniform(0.4, 1.4))
    leaf, density = draw_reflectivity(rng, Kind.VEGETATION), 2.0 * _density(rng)
    fade = _fade(rng)
    count = max(1, round(length / 3.0))
    step, parts = length / count, []
    for k in range(count):
        h = tall * rng.uniform(0.85, 1.1)
        parts.append(Solid(BOX, ((k + 0.5) * step - length / 2, rng.normal(0, 0.05), h / 2 - 0.2),
                           (step * 1.02, wide * rng.uniform(0.85, 1.1), h + 0.4), Kind.VEGETATION,
                           leaf, surface=0.05, density=density, fade=fade))  # fmt: skip
    return body(parts)


def draw_fence(rng: np.random.Generator, length: float) -> Body:
    """A see-through panel along x with posts."""
    tall, mesh = float(rng.uniform(0.8, 2.2)), float(rng.uniform(0.12, 0.75))
    grey = draw_reflectivity(rng, Kind.FENCE)
    panel = (length, 0.03, tall)
    parts = [Solid(BOX, (0, 0, tall / 2), panel, Kind.FENCE, grey, surface=mesh, gloss=-1.0,
                   fade=rng.uniform(10, 70))]  # fmt: skip
    if rng.random() < 0.4:
        parts.append(Solid(BOX, (0, 0, -0.8), (length, 0.2, 2 * rng.uniform(0.9, 1.2)),
                           Kind.WALL, 0.35))  # fmt: skip
    for x in np.arange(-length / 2, length / 2 + 0.1, rng.uniform(2, 3.5)).tolist():
        parts.append(Solid(BOX, (x, 0, tall / 2), (0.07, 0.07, tall + 0.1), Kind.FENCE, grey))
    return body(parts)


def draw_wall(rng: np.random.Generator, length: float) -> Body:
    """A solid wall along x."""
    tall = float(rng.uniform(0.5, 2.5))
    return body([Solid(BOX, (0, 0, (tall - _DEPTH) / 2), (length, 0.25, tall + _DEPTH), Kind.WALL,
                       draw_reflectivity(rng, Kind.WALL))])  # fmt: skip


def draw_building(rng: np.random.Generator, length: float, depth: float) -> Body:
    """A house of that length along x; the front (at y = 0, facing -y) has bays and recesses."""
    tall, wall = float(rng.uniform(3.0, 16.0)), draw_reflectivity(rng, Kind.BUILDING)
    parts, x = [], -length / 2
    flat = rng.random() < 0.25
    while x < length / 2 - 0.5:
        width = min(float(rng.uniform(1.0, 7.0)), length / 2 - x)
        inset = 0.0 if flat else float(rng.choice([0.0, rng.uniform(0.1, 0.6), rng.uniform(0.5, 2)],
                                                  p=[0.5, 0.35, 0.15]))  # fmt: skip
        h = tall * rng.uniform(0.9, 1.05)
        parts.append(Solid(BOX, (x + width / 2, depth / 2 + inset, (h - _DEPTH) / 2),
                           (width, depth, h + _DEPTH), Kind.BUILDING, wall))  # fmt: skip
        for sill in (0.9, 3.8):  # windows: panes that mirror light away, so that little returns
            if rng.random() < 0.5:
                pane = (0.6 * width, 0.06, rng.uniform(0.9, 1.6))
                dark = float(np.exp(rng.uniform(np.log(1e-4), np.log(1e-2))))
                at = (x + width / 2, inset - 0.02, sill + pane[2] / 2)
                parts.append(Solid(BOX, at, pane, Kind.BUILDING, dark))
        if rng.random() < 0.15:  # a balcony or porch
            parts.append(Solid(BOX, (x + width / 2, inset - 0.5, rng.uniform(2.6, 5.0)),
                               (0.8 * width, 1.0, 0.9), Kind.BUILDING, wall))  # fmt: skip
        x += width
    return body(parts)


def draw_pole(rng: np.random.Generator) -> Body:
    """A lamp post, bollard or sign post, some with a board on top."""
    kind, grey = Kind.POLE, draw_reflectivity(rng, Kind.POLE)
    tall = float(rng.choice([rng.uniform(0.6, 1.2), rng.uniform(2, 3.5), rng.uniform(4, 9)]))
    thick = float(rng.uniform(0.05, 0.28))
    # What is thinner than the beam is wide is seen from nearby only.
    parts = [Solid(CYLINDER, (0, 0, tall / 2), (thick, thick, tall), kind, grey, surface=0.97,
                   fade=thick * rng.uniform(250, 900))]  # fmt: skip
    if 2 < tall < 4 and rng.random() < 0.7:
        size = rng.uniform(0.4, 0.9)
        parts.append(Solid(BOX, (0, 0, tall - 0.3), (0.03, size, size * rng.uniform(0.7, 1.3)),
                           Kind.SIGN, draw_reflectivity(rng, Kind.SIGN)))  # fmt: skip
    elif tall > 4 and rng.random() < 0.6:
        parts.append(Solid(BOX, (0, 0.9, tall), (0.15, 1.8, 0.12), kind, grey))
    return body(parts)


def _shelter(rng: np.random.Generator, grey: float) -> Body:
    """Panes of glass with a roof on posts: a bus shelter, a glazed porch."""
    long, deep, tall = rng.uniform(2, 6), rng.uniform(1.0, 1.8), rng.uniform(2.1, 2.6)
    parts = [Solid(BOX, (0, 0, tall), (long, deep, 0.1), Kind.OBJECT, grey)]
    for at, size in (((0, deep / 2), (long, 0.03)), ((long / 2, 0), (0.03, deep)),
                     ((-long / 2, 0), (0.03, deep))):  # fmt: skip
        parts.append(Solid(BOX, (*at, 1.15), (*size, 1.8), Kind.OBJECT, 0.3,
                           gloss=rng.uniform(1, 6), surface=rng.uniform(0.4, 0.99)))  # fmt: skip
    parts += [Solid(BOX, (x, deep / 2, tall / 2), (0.08, 0.08, tall), Kind.OBJECT, grey)
              for x in (-long / 2, long / 2)]  # fmt: skip
    return body(parts)


def draw_clutter(rng: np.random.Generator) -> Body:
    """Something small that is not a participant: bin, box, bench, statue, heap."""
    kind, grey = Kind.OBJECT, draw_reflectivity(rng, Kind.OBJECT)
    which = rng.random()
    if which < 0.12:
        return _shelter(rng, grey)
    if which < 0.45:
        size = rng.uniform([0.3, 0.3, 0.5], [1.6, 1.2, 1.6])
        return body([Solid(BOX, (0, 0, size[2] / 2), tuple(size), kind, grey)])
    if which < 0.65:
        d, h = rng.uniform(0.3, 1.3), rng.uniform(0.6, 3.0)
        return body([Solid(CYLINDER, (0, 0, h / 2), (d, d, h), kind, grey)])
    if which < 0.8:
        back = Solid(BOX, (0, 0.22, 0.65), (1.6, 0.06, 0.45), kind, grey, surface=0.7)
        return body([Solid(BOX, (0, 0, 0.43), (1.6, 0.45, 0.08), kind, grey), back])
    size = rng.uniform([0.3, 0.3, 0.4], [1.5, 1.5, 2.0])
    return body([Solid(ELLIPSOID, (0, 0, 0.4 * size[2]), tuple(size), kind, grey)])
