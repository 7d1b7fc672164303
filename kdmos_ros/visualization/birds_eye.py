"""Bird's-eye pictures of labelled scans, drawn with numpy and Pillow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import CLASS_COLOURS, MOVABLE, MOVING

Colour = tuple[int, int, int]

BACKGROUND: Colour = (13, 16, 21)
TEXT: Colour = (225, 229, 235)
EGO: Colour = (70, 215, 190)
MOVING_COLOUR: Colour = tuple(int(v) for v in CLASS_COLOURS[MOVING])  # type: ignore[assignment]
MOVABLE_COLOUR: Colour = tuple(int(v) for v in CLASS_COLOURS[MOVABLE])  # type: ignore[assignment]
# Static points: dark on the ground, light from this height above it on.
_DARK, _LIGHT = np.array([62, 68, 78]), np.array([205, 210, 218])
_LIGHT_HEIGHT_M = 4.0
# Footprint drawn for the ego vehicle: length and width, metres.
_EGO_SIZE_M = (4.2, 1.8)


@dataclass(frozen=True)
class View:
    """What part of the ground is shown, and how large.

    Attributes:
        centre: (x, y) of the middle of the picture, metres.
        metres_per_pixel: resolution of the finished picture.
        size: width and height of the finished picture, pixels.
        heading: direction that points up, radians from +x.
    """

    centre: tuple[float, float]
    metres_per_pixel: float
    size: tuple[int, int]
    heading: float = np.pi / 2

    def pixels(self, xy: npt.NDArray[Any], scale: int = 1) -> npt.NDArray[np.float64]:
        """Picture coordinates (N, 2), x right and y down, of points (N, 2+), in pixels * scale."""
        s, c = np.sin(self.heading), np.cos(self.heading)
        dx, dy = xy[:, 0] - self.centre[0], xy[:, 1] - self.centre[1]
        per_metre = scale / self.metres_per_pixel
        right, up = s * dx - c * dy, c * dx + s * dy
        half = np.array(self.size) * scale / 2
        return np.stack([half[0] + per_metre * right, half[1] - per_metre * up], axis=1)


class Canvas:
    """A picture in the making. Points first, then lines and texts.

    Args:
        view: what to show.
        oversampling: points are drawn this much larger and averaged down.
    """

    def __init__(self, view: View, oversampling: int = 2) -> None:
        self.view = view
        self._scale = oversampling
        width, height = view.size[0] * oversampling, view.size[1] * oversampling
        self._pixels = np.empty((height, width, 3), np.float32)
        self._pixels[:] = BACKGROUND

    def points(
        self,
        xy: npt.NDArray[Any],
        colours: npt.NDArray[Any] | Colour,
        *,
        radius: int = 0,
        opacity: float = 1.0,
    ) -> None:
        """Draw points (N, 2+) in one colour or (N, 3) colours; later ones cover earlier ones.

        Args:
            radius: of the dots, in oversampled pixels; 0 is a single one.
        """
        height, width = self._pixels.shape[:2]
        at = np.floor(self.view.pixels(xy, self._scale)).astype(np.int64)
        colours = np.broadcast_to(np.asarray(colours, np.float32), (len(at), 3))
        reach = range(-radius, radius + 1)
        for dx, dy in ((x, y) for x in reach for y in reach if x * x + y * y <= radius * radius):
            column, row = at[:, 0] + dx, at[:, 1] + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            where = row[inside], column[inside]
            self._pixels[where] = (1 - opacity) * self._pixels[where] + opacity * colours[inside]

    def layer(self, colours: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> None:
        """Blend a raster of the view in: colours (H, W, 3) by weight (H, W) in 0..1."""
        weight = weight[..., None]
        self._pixels = (1 - weight) * self._pixels + weight * colours

    @property
    def oversampling(self) -> int:
        """Pixels of a raster to one of the picture, in each direction."""
        return self._scale

    @property
    def raster_size(self) -> tuple[int, int]:
        """Width and height of rasters for `layer`."""
        height, width = self._pixels.shape[:2]
        return width, height

    def finish(self) -> Drawing:
        """Average down; lines and texts come next."""
        from PIL import Image

        step = self._scale
        parts = [self._pixels[y::step, x::step] for y in range(step) for x in range(step)]
        mean, bright = parts[0].copy(), parts[0].copy()
        for part in parts[1:]:
            mean += part
            np.maximum(bright, part, out=bright)
        # The mean would drown single bright points, the maximum would coarsen everything.
        blended = 0.5 * mean / len(parts) + 0.5 * bright
        return Drawing(self.view, Image.fromarray(np.clip(blended, 0, 255).astype(np.uint8)))


class Drawing:
    """A picture with its points drawn. `image` is a Pillow image of the view's size."""

    def __init__(self, view: View, image: Any) -> None:
        from PIL import ImageDraw

        self.view = view
        self.image = image
        self._draw = ImageDraw.Draw(image, "RGBA")

    def path(self, xy: npt.NDArray[Any], colour: Colour = EGO, width: int = 2) -> None:
        """A line through points (N, 2+)."""
        if len(xy) > 1:
            corners = [tuple(p) for p in self.view.pixels(xy)]
            self._draw.line(corners, fill=(*colour, 200), width=width, joint="curve")

    def ego(self, pose: npt.NDArray[np.float64]) -> None:
        """The vehicle as a box with its front marked, at T_world_sensor (4, 4)."""
        length, width = (side / 2 for side in _EGO_SIZE_M)
        body = np.array([[-1, -1], [-1, 1], [0.6, 1], [1, 0], [0.6, -1]]) * [length, width]
        corners = body @ pose[:2, :2].T + pose[:2, 3]
        outline = [tuple(p) for p in self.view.pixels(corners)]
        self._draw.polygon(outline, fill=(*EGO, 230), outline=(*BACKGROUND, 255))

    def scale_bar(self, metres: float = 10.0) -> None:
        """A bar of known length in the lower left corner."""
        size = self._font_size()
        length, margin = metres / self.view.metres_per_pixel, size
        y = self.view.size[1] - margin
        self._shade((0, y - 2.2 * size, length + 2 * margin, self.view.size[1]))
        self._draw.line([(margin, y), (margin + length, y)], fill=TEXT, width=max(2, size // 6))
        self._text((margin, y - 1.5 * size), f"{metres:g} m")

    def legend(self, entries: Iterable[tuple[str, Colour]]) -> None:
        """Colours and their meaning in the upper right corner."""
        entries = list(entries)
        size = self._font_size()
        font = self._font()
        wide = max(self._draw.textlength(text, font) for text, _ in entries) + 2.4 * size
        left, line = self.view.size[0] - wide - size / 2, 1.5 * size
        self._shade((left, 0, self.view.size[0], line * len(entries) + size))
        for i, (text, colour) in enumerate(entries):
            y = 0.5 * size + i * line
            dot = (left + 0.6 * size, y + 0.25 * size, left + 1.4 * size, y + 1.05 * size)
            self._draw.ellipse(dot, fill=colour)
            self._text((left + 1.8 * size, y), text)

    def caption(self, lines: Sequence[str]) -> None:
        """Text in the upper left corner."""
        size = self._font_size()
        wide = max(self._draw.textlength(line, self._font()) for line in lines)
        self._shade((0, 0, wide + 2 * size, 1.5 * size * len(lines) + size))
        for i, line in enumerate(lines):
            self._text((size, 0.5 * size + 1.5 * size * i), line)

    def _shade(self, box: tuple[float, float, float, float]) -> None:
        self._draw.rectangle(box, fill=(*BACKGROUND, 185))

    def _text(self, at: tuple[float, float], text: str) -> None:
        self._draw.text(at, text, font=self._font(), fill=TEXT)

    def _font_size(self) -> int:
        return max(11, round(self.view.size[1] / 45))

    def _font(self) -> Any:
        from PIL import ImageFont

        try:
            return ImageFont.load_default(self._font_size())
        except TypeError:  # Pillow before 10.1 has one size only
            return ImageFont.load_default()


def height_colours(height: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Greys (N, 3) for heights (N,) above the ground, metres."""
    light = np.clip(np.asarray(height, np.float32) / _LIGHT_HEIGHT_M, 0, 1)[..., None]
    return (_DARK + light * (_LIGHT - _DARK)).astype(np.float32)


LEGEND = (
    ("moving", MOVING_COLOUR),
    ("standing, may move", MOVABLE_COLOUR),
    ("static", (150, 156, 164)),
    ("ego path", EGO),
)
