"""What was seen of a place, and when it was seen through: range images of a drive, kept on disk.

A surface that is there is met by the rays that reach for it; where later (or earlier) rays pass,
there was no structure. The test is that of the features (`visibility`), over the whole drive.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.features.range_image import RangeImage, build_range_image
from kdmos_ros.features.visibility import MATCHED, SEEN_THROUGH, look_up
from kdmos_ros.io.atomic import new_file
from kdmos_ros.scan import Scan

Float32 = npt.NDArray[np.float32]

# Scans nearer in time tell little more.
SPACING_S = 0.2
# Errors of poses grow with the distance; nothing farther is asked about.
FARTHEST_M = 60.0
_MARGIN_M, _MARGIN_PER_M = 0.25, 0.012
_POOL_ROWS = 1


class Views:
    """Range images of a drive's scans, `SPACING_S` apart or more.

    Args:
        folder: where they are kept, one file each; it is made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last_ns: int | None = None

    def add(self, scan: Scan, number: int) -> None:
        """Take the scan of that number, unless the last one was too near in time."""
        last = self._last_ns
        if last is not None and abs(scan.stamp_ns - last) < SPACING_S * 0.99e9:
            return
        self._last_ns = scan.stamp_ns
        image = build_range_image(np.ascontiguousarray(scan.points, np.float32), _POOL_ROWS)
        with new_file(self._file(number)) as scratch, scratch.open("wb") as file:
            np.savez(
                file,
                pixels=image.pixels,
                first_row=image.first_row,
                pose=scan.pose,
                stamp_ns=scan.stamp_ns,
            )

    def keep_before(self, number: int) -> None:
        """Remove those of scans from that number on."""
        for path in self._files():
            if int(path.stem) >= number:
                path.unlink()
        kept = self._files()
        self._last_ns = self._read(kept[-1])[2] if kept else None

    def votes(
        self, points: npt.NDArray[np.float64], slack_m: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """How many views saw each point, and how many saw through it: (V,) int64 each.

        Args:
            points: (V, 3) float64, fixed frame, metres.
            slack_m: ranges may differ by so much more.
        """
        seen, through = np.zeros((2, len(points)), np.int64)
        for path in self._files():
            image, pose, _ = self._read(path)
            local = (points - pose[:3, 3]).astype(np.float32)
            rows = np.flatnonzero((local**2).sum(axis=1) < FARTHEST_M**2)
            turn = np.eye(4, dtype=np.float32)
            turn[:3, :3] = pose[:3, :3].T
            state = np.empty(len(rows), np.uint8)
            near, far = np.empty((2, len(rows)), np.float32)
            margin = _MARGIN_M + slack_m
            look_up(image, turn, local[rows], margin, _MARGIN_PER_M, state, near, far)
            seen[rows] += state == MATCHED
            through[rows] += state == SEEN_THROUGH
        return seen, through

    def remove(self) -> None:
        """They are of no use any more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, number: int) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{number:08d}.npz"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.npz"))

    def _read(self, path: Path) -> tuple[RangeImage, npt.NDArray[np.float64], int]:
        try:
            with np.load(path, allow_pickle=False) as stored:
                image = RangeImage(stored["pixels"], int(stored["first_row"]))
                return image, stored["pose"], int(stored["stamp_ns"])
        except (OSError, ValueError, MemoryError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise KdmosError(f"{path}: cannot be read: {error}") from error
