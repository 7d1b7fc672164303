"""An overview picture and an animation of a labelled drive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import invert
from kdmos_ros.labels import MOVABLE, MOVING
from kdmos_ros.visualization.birds_eye import (
    LEGEND,
    MOVABLE_COLOUR,
    MOVING_COLOUR,
    Canvas,
    Colour,
    View,
    height_colours,
)

# Tree tops and bridges would hide the road.
_HIGHEST_M = 4.5
_TRAIL_COLOUR: Colour = (150, 52, 40)
_MAX_ANIMATION_BYTES = 5_000_000
# What the overview and one frame of the animation show, metres from left to right.
_OVERVIEW_WIDTH_M = 110.0
_ANIMATION_WIDTH_M = 84.0
_CELL_M = 0.5
# The map is made of so many scans at most, and is bright where about so many saw something.
_MAP_SCANS = 80
_MAP_HITS = 2.0


@dataclass(frozen=True)
class LabelledFrame:
    """One labelled scan to draw.

    Attributes:
        points: (N, 3) float32, sensor frame; rows that are not finite are left out.
        labels: (N,) uint8 classes.
        pose: (4, 4) T_odom_sensor.
        mount: (4, 4) T_base_sensor, for heights above the ground.
        stamp_ns: time of the scan.
    """

    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    pose: npt.NDArray[np.float64]
    mount: npt.NDArray[np.float64]
    stamp_ns: int

    def in_odom(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Points (M, 3) float64 in odom, their heights (M,) and labels (M,), low ones first."""
        finite = np.isfinite(self.points).all(axis=1)
        points, labels = self.points[finite], self.labels[finite]
        height = points @ self.mount[2, :3].astype(np.float32) + np.float32(self.mount[2, 3])
        order = np.argsort(height)
        order = order[height[order] < _HIGHEST_M]
        x, y, z = points[order].T
        rotation, origin = self.pose[:3, :3].astype(np.float32), self.pose[:3, 3]
        # By columns: as a matrix product it would start threads for three numbers a point.
        moved = [x * r[0] + y * r[1] + z * r[2] + o for r, o in zip(rotation, origin, strict=True)]
        return np.stack(moved, axis=1), height[order], labels[order]

    @property
    def base_pose(self) -> npt.NDArray[np.float64]:
        """T_odom_base (4, 4)."""
        return self.pose @ invert(self.mount)


Frames = Callable[[], Iterator[LabelledFrame]]


def best_frame(frames: Iterable[LabelledFrame], count: int) -> LabelledFrame:
    """The frame with the largest moving area in view, rather not one near the ends of the drive.

    Args:
        count: number of frames.

    Raises:
        KdmosError: there is no frame.
    """
    inner = np.hanning(count + 2)[1:-1] ** 0.5
    best, best_score = None, -1.0
    for frame, weight in zip(frames, inner, strict=False):
        # By area: a single lorry next to the sensor has more points than all others together.
        cells = np.floor(frame.points[frame.labels == MOVING, :2] / _CELL_M)
        score = weight * (1 + len(np.unique(cells, axis=0)))
        if score > best_score:
            best, best_score = frame, score
    if best is None:
        raise KdmosError("no labelled scan to draw")
    return best


def draw_overview(
    frames: Frames,
    count: int,
    path: npt.NDArray[np.float64],
    caption: Sequence[str] = (),
    width: int = 1600,
) -> Any:
    """One picture of the drive: the map that the static points give, and one scan in full.

    Args:
        frames: called twice; gives the labelled frames.
        count: number of frames.
        path: (K, 2+) positions of the ego vehicle in odom.
        caption: lines for the corner.
        width: pixels; the height is 9/16 of it.

    Returns:
        A Pillow image.
    """
    current = best_frame(frames(), count)
    size = (width, width * 9 // 16)
    forward = current.base_pose[:2, 0]
    # The vehicle drives to the right, where the picture is widest.
    heading = float(np.arctan2(forward[1], forward[0])) + np.pi / 2
    x, y = (float(v) for v in current.base_pose[:2, 3])
    view = View((x, y), _OVERVIEW_WIDTH_M / width, size, heading)
    canvas = Canvas(view)
    _draw_map(canvas, islice(frames(), 0, None, 1 + count // _MAP_SCANS))
    _draw_frame(canvas, current, radius=1)
    drawing = canvas.finish()
    drawing.path(path, width=max(2, width // 500))
    drawing.ego(current.base_pose)
    drawing.scale_bar()
    drawing.legend(LEGEND)
    if caption:
        drawing.caption(caption)
    return drawing.image


def draw_animation(
    frames: Iterable[LabelledFrame],
    path: npt.NDArray[np.float64],
    width: int = 640,
) -> Iterator[Any]:
    """Pictures (Pillow) of the scans one by one, the ego vehicle in the middle."""
    start_ns: int | None = None
    size = (width, width * 5 // 8)
    for frame in frames:
        x, y = (float(v) for v in frame.base_pose[:2, 3])
        canvas = Canvas(View((x, y), _ANIMATION_WIDTH_M / width, size))
        _draw_frame(canvas, frame, radius=0)
        drawing = canvas.finish()
        drawing.path(path)
        drawing.ego(frame.base_pose)
        drawing.scale_bar()
        drawing.legend(LEGEND)
        start_ns = frame.stamp_ns if start_ns is None else start_ns
        drawing.caption([f"{(frame.stamp_ns - start_ns) * 1e-9:4.1f} s"])
        yield drawing.image


def save_animation(pictures: Sequence[Any], path: Path, seconds: float) -> None:
    """Write an animated WebP or GIF, by the suffix, that takes `seconds` and stays below 5 MB.

    Raises:
        KdmosError: there is nothing to write, or it cannot be made small enough.
    """
    if not pictures:
        raise KdmosError("no labelled scan to draw")
    for keep, shrink in ((1, 1), (2, 1), (2, 2), (4, 2), (8, 4)):
        chosen = [p.reduce(shrink) if shrink > 1 else p for p in pictures[::keep]]
        milliseconds = max(20, round(1000 * seconds / len(chosen)))
        options: dict[str, Any] = {"quality": 55, "method": 3}
        if path.suffix == ".gif":
            chosen = [p.quantize(48, dither=0) for p in chosen]
            options = {"optimize": True}
        chosen[0].save(
            path,
            save_all=True,
            append_images=chosen[1:],
            duration=milliseconds,
            loop=0,
            **options,
        )
        if path.stat().st_size < _MAX_ANIMATION_BYTES:
            return
    raise KdmosError(f"{path}: the animation cannot be made smaller than 5 MB")


def _draw_frame(canvas: Canvas, frame: LabelledFrame, radius: int) -> None:
    points, height, labels = frame.in_odom()
    rest = (labels != MOVING) & (labels != MOVABLE)
    canvas.points(points[rest], height_colours(height[rest]))
    canvas.points(points[labels == MOVABLE], MOVABLE_COLOUR, radius=radius)
    canvas.points(points[labels == MOVING], MOVING_COLOUR, radius=radius + 1)


def _draw_map(canvas: Canvas, frames: Iterable[LabelledFrame]) -> None:
    """All frames as a faint background: what stands by height, where things moved in dark red."""
    width, height_px = canvas.raster_size
    top = np.full(width * height_px, -np.inf, np.float32)
    hits = np.zeros(width * height_px, np.float32)
    trail = np.zeros(width * height_px, bool)
    for frame in frames:
        points, height, labels = frame.in_odom()
        at = np.floor(canvas.view.pixels(points, canvas.oversampling)).astype(np.int64)
        inside = (at >= 0).all(axis=1) & (at[:, 0] < width) & (at[:, 1] < height_px)
        index = at[inside, 1] * width + at[inside, 0]
        moving = labels[inside] == MOVING
        trail[index[moving]] = True
        index, height = index[~moving], height[inside][~moving].astype(np.float32)
        # Of points on one pixel the last one, which is the highest, is what an index leaves.
        top[index] = np.maximum(top[index], height)
        hits[index] += 1
    shape = (height_px, width)
    canvas.layer(
        height_colours(np.where(hits > 0, top, 0)).reshape(*shape, 3),
        0.55 * (1 - np.exp(-hits / _MAP_HITS)).reshape(shape),
    )
    faint = np.broadcast_to(np.asarray(_TRAIL_COLOUR, np.float32), (*shape, 3))
    canvas.layer(faint, 0.5 * trail.astype(np.float32).reshape(shape))
