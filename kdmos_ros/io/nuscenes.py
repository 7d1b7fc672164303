"""nuScenes (Caesar et al., CVPR 2020): scenes with the LiDAR's sweeps at 20 Hz as Sources.

ROOT/v1.0-*/ has the tables (JSON), ROOT/samples and ROOT/sweeps the files LIDAR_TOP/*.pcd.bin:
float32 x, y, z, intensity (0..255), ring, in the LiDAR's frame. Boxes are annotated at the key
frames, two a second; sweeps between them are for the history and do not count.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose, invert
from kdmos_ros.io.box_labels import Box, label_points, unlabelled
from kdmos_ros.io.cloud_file import BIN_COLUMNS, read_cloud_file
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.object_kinds import Kind
from kdmos_ros.scan import Scan

Matrix = npt.NDArray[np.float64]
Row = Mapping[str, Any]

LIDAR = "LIDAR_TOP"
# As the devkit: boxes farther apart in time tell no speed, twice that with one on either side.
_LONGEST_S = 1.5
# Longer names go before those that they begin with.
_KINDS = {
    "vehicle.car": Kind.CAR,
    "vehicle.emergency": Kind.CAR,
    "vehicle.truck": Kind.TRUCK,
    "vehicle.trailer": Kind.TRUCK,
    "vehicle.construction": Kind.TRUCK,
    "vehicle.bus": Kind.BUS,
    "vehicle.motorcycle": Kind.MOTORCYCLE,
    "vehicle.bicycle": Kind.BICYCLE,
    "human.pedestrian": Kind.PEDESTRIAN,
    "animal": Kind.PEDESTRIAN,
}


def is_nuscenes(path: Path) -> bool:
    """Whether this is the data set's root."""
    return any(path.glob("v1.0-*/scene.json"))


def nuscenes(
    root: Path, splits: Collection[str], sequences: Collection[str], rate_hz: float | None
) -> list[Source]:
    """Scenes of ROOT, by name ("scene-0061"), or all of a version: mini, trainval, test.

    Args:
        splits: one version; it need not be named if there is only one.

    Raises:
        KdmosError: no such version or scene, or a file is missing or broken.
    """
    versions = {f.parent.name.removeprefix("v1.0-"): f.parent
                for f in sorted(root.glob("v1.0-*/scene.json"))}  # fmt: skip
    chosen = list(splits or versions)
    if len(chosen) != 1 or chosen[0] not in versions:
        raise KdmosError(
            f"{root}: choose one version with --split: {', '.join(versions) or 'there is none'}"
        )
    tables = Tables(versions[chosen[0]])
    scenes = {scene["name"]: scene for scene in tables["scene"].values()}
    if missing := [name for name in sequences if name not in scenes]:
        raise KdmosError(f"{root}: no scene {missing[0]} in {versions[chosen[0]].name}")
    return [NuScenesSource(root, tables, scenes[name]) for name in sequences or sorted(scenes)]


class Tables:
    """The tables of a version, each read when it is asked for: {token: row}.

    Raises:
        KdmosError: a table is missing or broken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, dict[str, Row]] = {}

    def __getitem__(self, name: str) -> dict[str, Row]:
        if name not in self._read:
            path = self._folder / f"{name}.json"
            try:
                rows = json.loads(path.read_text(encoding="utf-8"))
                self._read[name] = {row["token"]: row for row in rows}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise KdmosError(f"cannot read {path}: {error}") from error
        return self._read[name]

    @cached_property
    def frames(self) -> dict[str, list[Row]]:
        """Rows of `sample_data` of the LiDAR by scene, in the order of their times."""
        found: dict[str, list[Row]] = defaultdict(list)
        samples = self["sample"]
        for row in self["sample_data"].values():
            if Path(row["filename"]).parent.name == LIDAR:
                found[samples[row["sample_token"]]["scene_token"]].append(row)
        return {scene: sorted(rows, key=lambda r: r["timestamp"]) for scene, rows in found.items()}

    @cached_property
    def annotations(self) -> dict[str, list[Row]]:
        """Rows of `sample_annotation` by sample."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self["sample_annotation"].values():
            found[row["sample_token"]].append(row)
        return dict(found)

    def speed(self, row: Row) -> float:
        """Speed of an annotated box over ground, m/s: of the boxes before and after it; or NaN."""
        boxes = self["sample_annotation"]
        first, last = (boxes[row[side]] if row[side] else row for side in ("prev", "next"))
        stamps = [self["sample"][box["sample_token"]]["timestamp"] for box in (first, last)]
        seconds = (stamps[1] - stamps[0]) * 1e-6
        longest = _LONGEST_S * (2 if row["prev"] and row["next"] else 1)
        if not 0 < seconds <= longest:
            return float("nan")
        way = np.subtract(last["translation"], first["translation"])
        return float(np.linalg.norm(way)) / seconds

    def kind(self, row: Row) -> Kind:
        """What an annotated box is."""
        name = self["category"][self["instance"][row["instance_token"]]["category_token"]]["name"]
        return next((kind for begin, kind in _KINDS.items() if name.startswith(begin)), Kind.OBJECT)


class NuScenesSource:
    """A scene as a Source."""

    def __init__(self, root: Path, tables: Tables, scene: Row) -> None:
        self._root, self._tables = root, tables
        self._frames = tables.frames.get(scene["token"], [])
        if not self._frames:
            raise KdmosError(f"{root}: {scene['name']} has no sweeps of {LIDAR}")
        sensor = tables["calibrated_sensor"][self._frames[0]["calibrated_sensor_token"]]
        self.base_T_sensor: Matrix | None = _pose(sensor)
        self.labelled = any(f["sample_token"] in tables.annotations for f in self._frames)
        # Maps are kilometres wide; float32 has room for a drive, not for those.
        self._origin = _pose(self._ego(self._frames[0]))[:3, 3]
        self._instances: dict[str, int] = {}
        self.name, self.where, self.sensor = scene["name"], f"{root}, {scene['name']}", "hdl32e"

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[LabelledScan]:
        return map(self._sample, self._frames)

    def _sample(self, frame: Row) -> LabelledScan:
        path = self._root / frame["filename"]
        columns = dict(read_cloud_file(path, BIN_COLUMNS[5]))
        points = np.stack([columns[axis] for axis in "xyz"], axis=1)
        ego = _pose(self._ego(frame))
        ego[:3, 3] -= self._origin
        assert self.base_T_sensor is not None
        pose = ego @ self.base_T_sensor
        truth = unlabelled(len(points))
        if frame["is_key_frame"] and self.labelled:
            rows = self._tables.annotations.get(frame["sample_token"], [])
            truth = label_points(points, [self._box(row, pose) for row in rows])
        return LabelledScan(
            Scan(points, columns["intensity"], int(frame["timestamp"]) * 1000, pose),
            truth.labels,
            truth.kind,
            f"{self.name}/{frame['timestamp']}",
            truth.speed,
            truth.instance,
        )

    def _ego(self, frame: Row) -> Row:
        return self._tables["ego_pose"][frame["ego_pose_token"]]

    def _box(self, row: Row, pose: Matrix) -> Box:
        box = _pose(row)
        box[:3, 3] -= self._origin
        width, length, height = map(float, row["size"])
        number = self._instances.setdefault(row["instance_token"], len(self._instances) + 1)
        tables = self._tables
        size = length, width, height
        return Box(invert(pose) @ box, size, tables.kind(row), tables.speed(row), number)


def _pose(row: Row) -> Matrix:
    w, x, y, z = row["rotation"]
    return from_pose(row["translation"], (x, y, z, w))
