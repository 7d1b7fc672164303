"""Objects that move in scans shortly before or after move: hysteresis in time.

`hysteresis` joins the points of one scan. Where later scans are known too, an object of one scan is
followed to those of its neighbours that it overlaps in space, and takes the highest evidence on the
way. So a car of which one scan shows little keeps what the next one shows. Objects are not
followed longer than `HORIZON_S`, since what moves may come to a stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from kdmos_ros.segmentation.hysteresis import ConnectedObjects

Float32 = npt.NDArray[np.float32]
Item = TypeVar("Item")

HORIZON_S = 0.5
# Objects overlap if they share so many of the squares of the one that has fewer.
_SQUARE_M = 0.5
_SHARED = 0.2
# A scan that follows after longer than that is no neighbour.
_LONGEST_STEP_S = 0.3
# Squares are packed into one integer, 26 bits each way, which are 33 000 km.
_BITS = 26


@dataclass(frozen=True)
class PlacedObjects:
    """The objects of one scan and where they are.

    Attributes:
        stamp_ns: of the scan.
        evidence: (n,) float32 of each object.
        square, number: (K,) int64 pairs of a square on the ground of the fixed frame and an object
            that has points there, each once, the squares rising.
        squares: (n,) int64 how many of them each object has.
    """

    stamp_ns: int
    evidence: Float32
    square: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    squares: npt.NDArray[np.int64]


def placed(
    objects: ConnectedObjects,
    points: Float32,
    odom_T_sensor: npt.NDArray[np.float64],
    stamp_ns: int,
) -> PlacedObjects:
    """Objects in the fixed frame.

    Args:
        points: (P, 3) float32 that the objects are made of, sensor frame, metres.
        odom_T_sensor: (4, 4) pose of the scan.
    """
    there = points[objects.rows] @ odom_T_sensor[:2, :3].T + odom_T_sensor[:2, 3]
    x, y = (np.floor(there / _SQUARE_M).astype(np.int64) + (1 << (_BITS - 1))).T
    pairs = np.unique(np.column_stack((x << _BITS | y, objects.number)), axis=0)
    square, number = pairs.reshape(-1, 2).T
    squares = np.bincount(number, minlength=len(objects.evidence))
    return PlacedObjects(stamp_ns, objects.evidence, square, number, squares)


class ObjectVotes(Generic[Item]):
    """Hands on scans in their order, each with what its objects' neighbours in time make of it."""

    def __init__(self) -> None:
        self._scans: deque[tuple[Item, PlacedObjects]] = deque()
        # Between each scan and the next one: pairs of objects (L, 2).
        self._links: deque[npt.NDArray[np.int64]] = deque()
        self._done = 0

    def reset(self) -> None:
        """Forget all scans, also those that wait."""
        self._scans.clear()
        self._links.clear()
        self._done = 0

    def push(self, item: Item, objects: PlacedObjects) -> Iterator[tuple[Item, Float32]]:
        """Take the next scan; gives those of which all that counts is known now.

        Returns:
            Items and the evidence (n,) float32 of their objects.
        """
        if self._scans:
            self._links.append(_links(self._scans[-1][1], objects))
        self._scans.append((item, objects))
        newest = objects.stamp_ns
        return self._give(lambda stamp_ns: newest - stamp_ns > HORIZON_S * 1e9)

    def flush(self) -> Iterator[tuple[Item, Float32]]:
        """The scans that wait for later ones."""
        return self._give(lambda stamp_ns: True)

    def _give(self, ready: Callable[[int], bool]) -> Iterator[tuple[Item, Float32]]:
        while self._done < len(self._scans) and ready(self._scans[self._done][1].stamp_ns):
            item, objects = self._scans[self._done]
            before = self._followed(objects, range(self._done, -1, -1), backwards=True)
            after = self._followed(objects, range(self._done, len(self._scans)), backwards=False)
            self._done += 1
            while self._done and _apart(self._scans[0][1], objects) > HORIZON_S:
                self._scans.popleft()
                self._links.popleft()
                self._done -= 1
            yield item, np.maximum(before, after)

    def _followed(self, now: PlacedObjects, way: range, backwards: bool) -> Float32:
        """The highest evidence that the objects of a scan meet on the way."""
        near = [i for i in way if _apart(self._scans[i][1], now) <= HORIZON_S]
        best = self._scans[near[-1]][1].evidence
        for i in reversed(near[:-1]):
            links = self._links[i - 1][:, ::-1] if backwards else self._links[i]
            carried = self._scans[i][1].evidence.copy()
            np.maximum.at(carried, links[:, 0], best[links[:, 1]])
            best = carried
        return best


def _apart(a: PlacedObjects, b: PlacedObjects) -> float:
    return abs(a.stamp_ns - b.stamp_ns) * 1e-9


def _links(a: PlacedObjects, b: PlacedObjects) -> npt.NDArray[np.int64]:
    """Pairs (L, 2) of objects of a and of b that overlap."""
    if _apart(a, b) > _LONGEST_STEP_S:
        return np.empty((0, 2), np.int64)
    first = np.searchsorted(b.square, a.square, "left")
    count = np.searchsorted(b.square, a.square, "right") - first
    mine = np.repeat(np.arange(len(a.square)), count)
    theirs = first[mine] + np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count)
    pairs = np.column_stack((a.number[mine], b.number[theirs]))
    pairs, shared = np.unique(pairs, axis=0, return_counts=True)
    fewest = np.minimum(a.squares[pairs[:, 0]], b.squares[pairs[:, 1]])
    return pairs[shared >= np.maximum(1, _SHARED * fewest)]
