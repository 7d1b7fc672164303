"""The static world: points that were called static, where nobody saw through later or before."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.point_file import MapPoints
from kdmos_ros.labels import MOVABLE, MOVING, STATIC
from kdmos_ros.mapping.surface import normals_and_planes, on_level_planes
from kdmos_ros.mapping.views import Views
from kdmos_ros.mapping.voxel_table import VoxelTable
from kdmos_ros.scan import Scan

Labels = npt.NDArray[np.uint8]

# Columns of the sums. The first ones are of points that were called static: how many, where in the
# voxel, intensity, direction to the sensor. Then points called moving, and of the points called
# static those that the truth calls static and moving.
_COUNT, _PLACE, _INTENSITY, _VIEW = 0, slice(1, 4), 4, slice(5, 8)
_MOVING, _TRUE_STATIC, _TRUE_MOVING = 8, 9, 10
_N_SUMS = 11
# What is so near to more points called moving than static is taken for a part of what moves.
_NEAR_M, _FARTHEST_VOXELS = 0.2, 2
# One view through a voxel may be an error, and thin structure is also seen beside.
_FEWEST_THROUGH, _THROUGH_PER_SEEN = 2, 2


@dataclass(frozen=True)
class MapScore:
    """How clean a map is: the figures of the DynamicMap benchmark (Zhang et al., ITSC 2023).

    Attributes:
        static, moving: points that the truth calls so.
        static_kept, moving_kept: those of them that are in the map.
    """

    static: int
    moving: int
    static_kept: int
    moving_kept: int

    @property
    def static_accuracy(self) -> float | None:
        """SA: share of the static points that were kept; None: there are none."""
        return self.static_kept / self.static if self.static else None

    @property
    def dynamic_accuracy(self) -> float | None:
        """DA: share of the moving points that were removed; None: there are none."""
        return 1 - self.moving_kept / self.moving if self.moving else None

    def figures(self) -> dict[str, float | int | None]:
        """SA, DA, and both in one: AA, their geometric mean, and HA, their harmonic mean."""
        sa, da = self.static_accuracy, self.dynamic_accuracy
        aa = ha = None
        if sa is not None and da is not None:
            aa = float(np.sqrt(sa * da))
            ha = 2 * sa * da / (sa + da) if sa + da else 0.0
        return {
            "static_accuracy": sa,
            "dynamic_accuracy": da,
            "associated_accuracy": aa,
            "harmonic_accuracy": ha,
            "static_points": self.static,
            "moving_points": self.moving,
        }

    def to_text(self) -> str:
        """The same for people."""
        found = self.figures()
        names = ("static", "dynamic", "associated", "harmonic")
        shown = [(name[0].upper() + "A", found[f"{name}_accuracy"]) for name in names]
        return "map " + "   ".join(f"{n} {'n/a' if v is None else f'{v:.4f}'}" for n, v in shown)


class StaticMap:
    """A map that grows scan by scan and is cleaned at the end.

    Args:
        voxel_m: edge of a voxel, metres; each gives one point.
        views: what the scans saw.

    Attributes:
        scans: for the user: how many scans went in; kept by `save`.
    """

    def __init__(self, voxel_m: float, views: Views) -> None:
        self.scans = 0
        self._views = views
        self._table = VoxelTable(voxel_m, _N_SUMS)
        self._has_intensity = True
        # Points by truth (static, moving) that are in no voxel of the map.
        self._left_out = np.zeros(2, np.int64)
        self._score: MapScore | None = None  # kept, since views may be gone later

    def add(self, scan: Scan, labels: Labels, truth: Labels | None = None) -> None:
        """Add a scan.

        Args:
            labels: (N,) uint8 of kdmos_ros.labels; unlabelled points are left out.
            truth: (N,) the same, of the truth, for `score`.
        """
        self._score = None
        self._views.add(scan, self.scans)
        static = (labels == STATIC) | (labels == MOVABLE)
        use = (static | (labels == MOVING)) & np.isfinite(scan.points).all(axis=1)
        keys, place = self._table.place(scan.pose, scan.points[use])
        kept = static[use]
        values = np.zeros((len(keys), _N_SUMS), np.float32)
        values[:, _COUNT] = kept
        values[:, _PLACE] = place
        if scan.intensity is None:
            self._has_intensity = False
        else:
            values[:, _INTENSITY] = scan.intensity[use]
        ray = scan.points[use] @ scan.pose[:3, :3].T
        values[:, _VIEW] = -ray / np.maximum(np.linalg.norm(ray, axis=1), 1e-6)[:, None]
        values[~kept] = 0
        values[:, _MOVING] = ~kept
        if truth is not None:
            is_static = (truth == STATIC) | (truth == MOVABLE)
            is_moving = truth == MOVING
            values[:, _TRUE_STATIC] = is_static[use] & kept
            values[:, _TRUE_MOVING] = is_moving[use] & kept
            mapped = use & static
            self._left_out += [(t & ~mapped).sum() for t in (is_static, is_moving)]
        self._table.add(keys, values)

    def points(self, ground: bool = False) -> MapPoints:
        """The map: a point for each voxel of structure, in the order of their first hits.

        Args:
            ground: points of level surfaces are moved onto the planes around them.
        """
        stays = self._structure()
        sums, rows = self._table.sums, np.flatnonzero(stays)
        count = np.where(stays, sums[:, _COUNT], np.nan)[:, None]
        means = self._table.middles() + sums[:, _PLACE] / count
        view = sums[:, _VIEW]
        normals, flat = normals_and_planes(means, view, self._table, rows)
        if ground:
            means = on_level_planes(means, normals, flat)
        origin = np.zeros(3) if self._table.origin is None else self._table.origin
        intensity = (sums[:, _INTENSITY] / count[:, 0])[rows]
        return MapPoints(
            means[rows] + origin,
            intensity.astype(np.float32) if self._has_intensity else None,
            normals[rows].astype(np.float32),
        )

    def score(self) -> MapScore:
        """How clean the map is, of the points that came with a truth; worked out once."""
        if self._score is None:
            stays, sums = self._structure(), self._table.sums.astype(np.float64)
            all_static, all_moving = sums[:, _TRUE_STATIC].sum(), sums[:, _TRUE_MOVING].sum()
            self._score = MapScore(
                static=int(all_static + self._left_out[0]),
                moving=int(all_moving + self._left_out[1]),
                static_kept=int(sums[stays, _TRUE_STATIC].sum()),
                moving_kept=int(sums[stays, _TRUE_MOVING].sum()),
            )
        return self._score

    def save(self, path: Path) -> None:
        """Write everything that is needed to go on; the views are on disk already."""
        table = self._table
        with new_file(path) as scratch:
            np.savez(
                scratch,
                keys=table.keys,
                sums=table.sums,
                origin=np.zeros(0) if table.origin is None else table.origin,
                numbers=np.array([table.voxel_m, self.scans, self._has_intensity], np.float64),
            )

    @classmethod
    def load(cls, path: Path, views: Views) -> StaticMap:
        """A map as it was when saved.

        Raises:
            KdmosError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                content = {name: stored[name] for name in stored.files}
            voxel_m, scans, has_intensity = content["numbers"]
            made = cls(float(voxel_m), views)
            made.scans, made._has_intensity = int(scans), bool(has_intensity)
            made._table.origin = content["origin"] if content["origin"].size else None
            made._table.restore(content["keys"], content["sums"])
        except (OSError, ValueError, MemoryError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise KdmosError(f"{path}: cannot be read: {error}") from error
        views.keep_before(made.scans)
        return made

    def remove_views(self) -> None:
        """The map is written."""
        self._views.remove()

    def _structure(self) -> npt.NDArray[np.bool_]:
        """(V,) whether each voxel is part of the static world."""
        table = self._table
        sums = table.sums
        stays: npt.NDArray[np.bool_] = sums[:, _COUNT] > 0
        if table.origin is None or not stays.any():
            return stays
        rows = np.flatnonzero(stays)
        reach = min(max(1, round(_NEAR_M / table.voxel_m)), _FARTHEST_VOXELS)
        around = table.sums_around(rows, reach, (_COUNT, _MOVING))
        stays[rows] = around[:, 0] >= around[:, 1]
        rows = np.flatnonzero(stays)
        places = table.middles()[rows] + sums[rows, _PLACE] / sums[rows, _COUNT, None]
        seen, through = self._views.votes(places + table.origin, table.voxel_m / 2)
        gone = (through >= _FEWEST_THROUGH) & (through > _THROUGH_PER_SEEN * seen)
        stays[rows[gone]] = False
        return stays
