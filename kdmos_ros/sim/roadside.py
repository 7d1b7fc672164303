"""What stands and walks beside a road."""

from __future__ import annotations

import numpy as np

from kdmos_ros.sim import scenery
from kdmos_ros.sim.participants import cyclist, group
from kdmos_ros.sim.paths import Path, trace
from kdmos_ros.sim.solids import Body
from kdmos_ros.sim.staging import Stage

_STYLES = ("town", "suburb", "green", "open")
_SHARES, _NARROW_SHARES = (0.3, 0.3, 0.25, 0.15), (0.55, 0.25, 0.18, 0.02)
_CLUTTER = {"town": 0.08, "suburb": 0.25, "green": 0.45, "open": 0.1}  # things a metre


def dress(stage: Stage, path: Path, edge: float, side: int, start: float, stop: float,
          narrow: bool = False) -> None:  # fmt: skip
    """Dress one side of a road: pavement furniture in front, houses or gardens behind.

    Args:
        edge: distance of the kerb from the path. side: 1 left, -1 right.
        start, stop: arc lengths between which to dress.
        narrow: house fronts, hedges and walls stand close to the road.
    """
    rng, s = stage.rng, start
    width = rng.uniform(1.8, 4.5) if rng.random() < 0.6 else rng.uniform(4.0, 12.0)
    if narrow:
        width = rng.uniform(0.8, 2.4)
    shares = _NARROW_SHARES if narrow else _SHARES
    while s < stop:
        style = str(rng.choice(_STYLES, p=shares))
        until = min(s + rng.uniform(25, 90), stop)
        front = edge + width + rng.uniform(0, 0.3 if narrow else 1.5)
        if style in ("green", "open") and rng.random() < 0.5:
            _woods(stage, path, front, side, s, until)
        if style != "town" and rng.random() < 0.5:
            _yards(stage, path, front, side, s, until)
        if style in ("town", "suburb"):
            _houses(stage, path, front, side, s, until, town=style == "town")
        if style in ("suburb", "green"):
            _borders(stage, path, front, side, s, until)
        _furnish(stage, path, edge, side, s, until, _CLUTTER[style])
        if rng.random() < (0.3 if style == "town" else 0.7):  # woods or gardens farther back
            _growth(stage, path, front, side, s, until)
        if rng.random() < 0.7:
            _row(stage, path, side * (edge + rng.uniform(0.5, 1.2)), s, until)
        s = until


def _at(path: Path, s: float, left: float) -> tuple[float, float, float]:
    x, y, yaw = path.at(s)
    return x - left * np.sin(yaw), y + left * np.cos(yaw), yaw


def _along(stage: Stage, path: Path, s: float, left: float, body: Body) -> None:
    # A building's front faces its -y: on the right side it is turned towards the road.
    x, y, yaw = _at(path, s, left)
    stage.place(body, x, y, yaw if left > 0 else yaw + np.pi)


def _houses(stage: Stage, path: Path, front: float, side: int, start: float, stop: float,
            town: bool) -> None:  # fmt: skip
    rng, s = stage.rng, start
    back = rng.uniform(0, 2) if town else rng.uniform(4, 16)
    while s < stop:
        length = rng.uniform(7, 22)
        house = scenery.draw_building(rng, length, rng.uniform(7, 14))
        _along(stage, path, s + length / 2, side * (front + back), house)
        gap = rng.choice([0.0, rng.uniform(1.5, 4), rng.uniform(4, 14)])
        s += length + (gap if town else gap + 4)


def _borders(stage: Stage, path: Path, front: float, side: int, start: float, stop: float) -> None:
    rng, s = stage.rng, start
    while s < stop:
        length = rng.uniform(5, 18)
        if rng.random() < 0.35:
            length = 10.0
            x, y, yaw = _at(path, s + 5, side * (front + rng.uniform(0, 3)))
            stage.thicket(x, y, yaw)
        elif rng.random() < 0.75:
            draw = (scenery.draw_hedge, scenery.draw_fence, scenery.draw_wall)[
                int(rng.choice(3, p=[0.45, 0.35, 0.2]))
            ]
            _along(stage, path, s + length / 2, side * front, draw(rng, length))
        s += length + rng.choice([0.0, rng.uniform(2, 9)])


def _woods(stage: Stage, path: Path, front: float, side: int, start: float, stop: float) -> None:
    rng, s = stage.rng, start
    while s < stop:
        x, y, yaw = _at(path, s, side * (front + rng.uniform(6, 16)))
        stage.wood(x, y, yaw + rng.normal(0, 0.1))
        s += rng.uniform(10, 35)


def _yards(stage: Stage, path: Path, front: float, side: int, start: float, stop: float) -> None:
    """Vehicles parked off the street, in front gardens and on small lots.

    From the road they come into view between what stands in front of them.
    """
    rng, s = stage.rng, start
    back, across = rng.uniform(2.5, 8.0), rng.random() < 0.6
    while s < stop:
        x, y, yaw = _at(path, s, side * (front + back))
        turn = np.pi / 2 if across else 0.0
        stage.park(x, y, yaw + turn + rng.choice([0.0, np.pi]))
        step = rng.uniform(2.6, 3.2) if across else rng.uniform(5.5, 7.0)
        s += step if rng.random() < 0.5 else step + rng.exponential(12.0)


def _furnish(stage: Stage, path: Path, edge: float, side: int, start: float, stop: float,
             density: float) -> None:  # fmt: skip
    rng = stage.rng
    for _ in range(rng.poisson(density * (stop - start))):
        d = edge + rng.choice([rng.uniform(0.6, 2.0), rng.uniform(1.0, 22.0)])
        x, y, yaw = _at(path, rng.uniform(start, stop), side * d)
        what = rng.random()
        if what < 0.5 and d > edge + 0.8:
            stage.tree(x, y)
        elif what < 0.72 and d > edge + 1.5:
            stage.bush(x, y)
        elif what < 0.88:
            stage.pole(x, y, yaw)
        else:
            stage.place(scenery.draw_clutter(rng), x, y, yaw + rng.normal(0, 0.3))


def _growth(stage: Stage, path: Path, front: float, side: int, start: float, stop: float) -> None:
    rng = stage.rng
    for _ in range(rng.poisson(rng.uniform(0.1, 0.8) * (stop - start))):
        x, y, yaw = _at(path, rng.uniform(start, stop), side * (front + rng.exponential(9.0)))
        plant = rng.random()
        if plant < 0.55:
            stage.tree(x, y)
        elif plant < 0.8:
            stage.thicket(x, y, yaw + rng.normal(0, 0.6))
        else:
            stage.bush(x, y)


def _row(stage: Stage, path: Path, left: float, start: float, stop: float) -> None:
    """Lamps, bollards or trees at equal distances."""
    rng = stage.rng
    trees, lamp = rng.random() < 0.35, scenery.draw_pole(rng)
    for s in np.arange(start, stop, rng.uniform(9, 35)).tolist():
        x, y, yaw = _at(path, s, left)
        if trees:
            stage.tree(x, y)
        else:
            stage.place(lamp, x, y, yaw)


def people_along(stage: Stage, path: Path, edge: float, around: float, count: int,
                 travel: float = 0.0) -> None:  # fmt: skip
    """Pedestrians and a few cyclists on the pavements and across the road.

    Args:
        around: arc length near which most of them are, and as far on as travel (m).
    """
    rng = stage.rng
    for _ in range(count):
        side, here = int(rng.choice([-1, 1])), around + travel * rng.random()
        way, start = path.shifted(side * (edge + rng.uniform(0.5, 3.0))), here
        if rng.random() < 0.5:
            way = way.reversed()
            start = way.length - here
        start += rng.normal(8, 30)
        if rng.random() < 0.3:  # across the road
            x, y, yaw = path.at(here + rng.normal(10, 22))
            turn = yaw + side * (np.pi / 2 + rng.normal(0, 0.2))
            d = edge + rng.uniform(0, 6)
            way = trace((x - d * np.cos(turn), y - d * np.sin(turn), turn), [(2 * d + 20, 0.0)])
            start = rng.uniform(-2, 8)
        if rng.random() < 0.28:
            cyclist(stage, way, start)
        else:
            group(stage, way, start)
