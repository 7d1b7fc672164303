"""Argoverse 2, Sensor Dataset (Wilson et al., NeurIPS 2021): logs of feather files as Sources.

A log has sensors/lidar/STAMP_NS.feather, city_SE3_egovehicle.feather, annotations.feather (not in
the test split) and calibration/egovehicle_SE3_sensor.feather. Sweeps are float16 in the vehicle's
frame, compensated for its motion, and join two LiDARs of 32 beams, the lower one upside down. Each
becomes a Source of its own, in its own frame: rays are followed to where they came from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose, invert, transform
from kdmos_ros.io.box_labels import Box, label_points, speeds, unlabelled
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.object_kinds import Kind
from kdmos_ros.scan import Scan

Matrix = npt.NDArray[np.float64]

SPLITS = ("train", "val", "test")
SWEEPS = Path("sensors/lidar")
# Numbers of the lasers of each LiDAR.
LIDARS = {"up_lidar": (0, 32), "down_lidar": (32, 64)}
# The vehicle's frame has its origin on the rear axle, about so high above the ground.
AXLE_M = 0.33
# Boxes are annotated sweep by sweep; over this time their jitter is far below walking pace.
_SPEED_WINDOW_S = 1.0
_SIDES = ("length_m", "width_m", "height_m")
_KINDS = {
    **dict.fromkeys(("REGULAR_VEHICLE",), Kind.CAR),
    **dict.fromkeys(("LARGE_VEHICLE", "BOX_TRUCK", "TRUCK", "TRUCK_CAB"), Kind.TRUCK),
    **dict.fromkeys(("VEHICULAR_TRAILER", "TRAFFIC_LIGHT_TRAILER"), Kind.TRUCK),
    **dict.fromkeys(("BUS", "SCHOOL_BUS", "ARTICULATED_BUS", "RAILED_VEHICLE"), Kind.BUS),
    **dict.fromkeys(("MOTORCYCLE", "MOTORCYCLIST"), Kind.MOTORCYCLE),
    **dict.fromkeys(("BICYCLE", "BICYCLIST", "WHEELED_DEVICE", "WHEELED_RIDER"), Kind.BICYCLE),
    **dict.fromkeys(("PEDESTRIAN", "OFFICIAL_SIGNALER", "STROLLER", "WHEELCHAIR"), Kind.PEDESTRIAN),
    **dict.fromkeys(("ANIMAL", "DOG"), Kind.PEDESTRIAN),
}


def is_argoverse(path: Path) -> bool:
    """Whether this is a log, a split, or the data set with its splits."""
    return any(any(path.glob(f"{above}{SWEEPS}")) for above in ("", "*/", "*/*/"))


def argoverse2(
    root: Path, splits: Collection[str], sequences: Collection[str], rate_hz: float | None
) -> list[Source]:
    """Both LiDARs of the logs of ROOT, by id or by split (default: val), or of the one log ROOT.

    Raises:
        KdmosError: no such log or split, or a file is missing or broken.
    """
    if (root / SWEEPS).is_dir():
        logs = [root]
    else:
        for split in splits:
            if split not in SPLITS:
                raise KdmosError(f"no split {split!r}: {', '.join(SPLITS)}")
        parts = [root / split for split in (splits or ("val",)) if (root / split).is_dir()]
        if splits and len(parts) < len(splits):
            raise KdmosError(f"{root} has not all of the splits {', '.join(splits)}")
        known = {log.parents[1].name: log.parents[1] for part in parts or [root]
                 for log in sorted(part.glob(f"*/{SWEEPS}"))}  # fmt: skip
        if missing := [name for name in sequences if name not in known]:
            raise KdmosError(f"{root}: no log {missing[0]}; it has {', '.join(known) or 'none'}")
        logs = [known[name] for name in sequences or known]
    if not logs:
        raise KdmosError(f"{root}: no logs with {SWEEPS}")
    return [ArgoverseSource(log, lidar) for log in logs for lidar in LIDARS]


class ArgoverseSource:
    """One LiDAR of a log as a Source.

    Args:
        log: its folder.
        lidar: one of LIDARS.
    """

    def __init__(self, log: Path, lidar: str) -> None:
        self._log, self._lasers = log, LIDARS[lidar]
        self._sweeps = sorted((log / SWEEPS).glob("*.feather"), key=lambda f: int(f.stem))
        if not self._sweeps:
            raise KdmosError(f"no sweeps in {log / SWEEPS}")
        mounts = _read(log / "calibration/egovehicle_SE3_sensor.feather")
        names = list(mounts["sensor_name"])
        if lidar not in names:
            raise KdmosError(f"{log}/calibration/egovehicle_SE3_sensor.feather: no {lidar}")
        self._ego_T_lidar = _poses(mounts)[names.index(lidar)]
        poses = _read(log / "city_SE3_egovehicle.feather")
        city = _poses(poses)
        # Cities are kilometres wide; float32 has room for a drive, not for those.
        city[:, :3, 3] -= city[0, :3, 3].copy()
        self._city_T_ego = dict(zip(poses["timestamp_ns"].tolist(), city, strict=True))
        self.labelled = (log / "annotations.feather").is_file()
        self._boxes = self._read_boxes() if self.labelled else {}
        self.base_T_sensor: Matrix | None = self._ego_T_lidar.copy()
        self.base_T_sensor[2, 3] += AXLE_M
        self.name, self.where, self.sensor = f"{log.name}_{lidar}", str(log), lidar

    def __len__(self) -> int:
        return len(self._sweeps)

    def __iter__(self) -> Iterator[LabelledScan]:
        return map(self._sample, self._sweeps)

    def _sample(self, path: Path) -> LabelledScan:
        sweep, stamp = _read(path), int(path.stem)
        try:
            own = (sweep["laser_number"] >= self._lasers[0]) & (
                sweep["laser_number"] < self._lasers[1]
            )
            ego = np.stack([sweep[axis][own] for axis in "xyz"], axis=1).astype(np.float64)
            intensity = sweep["intensity"][own].astype(np.float32) / np.float32(255)
            pose = self._city_T_ego[stamp]
        except KeyError as error:
            raise KdmosError(f"{path}: no {error.args[0]} (is it a sweep of this log?)") from error
        points = transform(invert(self._ego_T_lidar), ego).astype(np.float32)
        truth = unlabelled(len(points))
        if stamp in self._boxes:
            truth = label_points(ego.astype(np.float32), self._boxes[stamp])
        return LabelledScan(
            Scan(points, intensity, stamp, pose @ self._ego_T_lidar),
            truth.labels,
            truth.kind,
            f"{self.name}/{stamp}",
            truth.speed,
            truth.instance,
        )

    def _read_boxes(self) -> dict[int, list[Box]]:
        """Boxes by stamp, in the vehicle's frame, with speeds over ground."""
        path = self._log / "annotations.feather"
        rows = _read(path)
        poses = _poses(rows)
        stamps = rows["timestamp_ns"].astype(np.int64)
        if missing := set(stamps.tolist()) - set(self._city_T_ego):
            raise KdmosError(f"{path}: no pose of the vehicle at {min(missing)} ns")
        city = np.stack([self._city_T_ego[s] @ p for s, p in zip(stamps.tolist(), poses,
                                                                 strict=True)])  # fmt: skip
        tracks: dict[str, list[int]] = defaultdict(list)
        for row, track in enumerate(rows["track_uuid"]):
            tracks[track].append(row)
        boxes: dict[int, list[Box]] = defaultdict(list)
        for number, members in enumerate(tracks.values(), start=1):
            index = np.array(sorted(members, key=lambda row: stamps[row]))
            found = speeds(stamps[index], city[index, :3, 3], _SPEED_WINDOW_S)
            for row, speed in zip(index.tolist(), found.tolist(), strict=True):
                length, width, height = (float(rows[side][row]) for side in _SIDES)
                kind = _KINDS.get(rows["category"][row], Kind.OBJECT)
                box = Box(poses[row], (length, width, height), kind, speed, number)
                boxes[int(stamps[row])].append(box)
        return boxes


def _poses(rows: dict[str, Any]) -> Matrix:
    """Poses (K, 4, 4) of a table with quaternions and translations."""
    columns = [rows[name] for name in ("tx_m", "ty_m", "tz_m", "qx", "qy", "qz", "qw")]
    table = np.stack(columns, axis=1).astype(np.float64)
    return np.stack([from_pose(row[:3], row[3:]) for row in table])


def _read(path: Path) -> dict[str, Any]:
    """The columns of a feather file, as arrays."""
    from pyarrow import ArrowInvalid, feather

    try:
        table = feather.read_table(path, memory_map=False)
    except (OSError, ArrowInvalid) as error:
        raise KdmosError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
