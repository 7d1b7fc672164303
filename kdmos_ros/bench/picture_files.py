"""Pictures of `kdmos bench` as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_picture(path: Path) -> None:
    """Say what is wrong with the name of a picture before hours of work, not after.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        KdmosError: it cannot draw files of this suffix.
    """
    from matplotlib.figure import Figure

    if path.suffix[1:].lower() not in Figure().canvas.get_supported_filetypes():
        raise KdmosError(f"cannot draw {path}: its suffix should be .png, .svg or .pdf")


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the suffix of the path chooses the format.

    Raises:
        KdmosError: the file cannot be written.
    """
    with new_file(path) as part:
        figure.savefig(part, dpi=110, bbox_inches="tight")
