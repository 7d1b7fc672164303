"""The map that `kdmos eval --map-metrics` scores."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.defaults import MAP_VOXEL_M

if TYPE_CHECKING:
    from kdmos_ros.mapping.static_map import StaticMap


def empty_map(stack: ExitStack) -> StaticMap:
    """A map whose scratch files go when the stack is closed."""
    from kdmos_ros.mapping.static_map import StaticMap
    from kdmos_ros.mapping.views import Views

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kdmos_map_"))
    return StaticMap(MAP_VOXEL_M, Views(Path(folder)))
