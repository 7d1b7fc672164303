"""What a model's graphs get to see in use: scans of drives as inputs, to set INT8 ranges by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.inference.engine import Engine
from kdmos_ros.io.samples import Source
from kdmos_ros.io.sources import SIMULATED, BagSource, CachedDriveSource, open_sources

Inputs = dict[str, npt.NDArray]  # type: ignore[type-arg]
Item = TypeVar("Item")
_SIMULATED_S = 3.0  # a little more than the history


def calibration_drives(where: str, n: int) -> list[Source]:
    """At most n of the drives at a place.

    Args:
        where: "sim:SEED" or "sim:FIRST-LAST", a folder of drives that training has kept, or a bag.

    Raises:
        KdmosError: no such drives are there.
    """
    if where.startswith(SIMULATED):
        return spread(open_sources(where, duration_s=_SIMULATED_S), n)
    files = sorted(Path(where).glob("drive_*.npz"))
    if not files and (Path(where).is_file() or (Path(where) / "metadata.yaml").is_file()):
        return [BagSource(Path(where))]
    if not files:
        raise KdmosError(
            f"{where}: neither a bag nor drive_*.npz there (the folder drives/ of a training run)"
        )
    return [CachedDriveSource(path) for path in spread(files, n)]


def spread(items: Sequence[Item], n: int) -> list[Item]:
    """At most n of the items, evenly from first to last."""
    if not items:
        return []
    places = np.linspace(0, len(items) - 1, n).round().astype(int)
    return [items[i] for i in np.unique(places)]


def inputs_of(engine: Engine, places: Sequence[Sequence[Source]], n_scans: int) -> Iterator[Inputs]:
    """`bev_inputs` of several places, each of which gives as many scans."""
    for i, drives in enumerate(places):
        first, last = (n_scans * k // len(places) for k in (i, i + 1))
        if last > first:
            yield from bev_inputs(engine, drives, last - first)


def bev_inputs(engine: Engine, drives: Sequence[Source], n_scans: int) -> Iterator[Inputs]:
    """Inputs of bev.onnx for scans spread evenly over the drives, by the node's own code.

    As many drives as there are scans are read, or all of them. Which scans of a drive are taken
    depends on its place only; most have a history, some a short one or none.

    Args:
        engine: the model in single precision.
        drives: simulated ones, or others that the model may be fitted to.
        n_scans: how many to give.

    Raises:
        KdmosError: there is no drive, or none of the scans has a point in the grid.
    """
    if not drives:
        raise KdmosError("no drives to calibrate with")
    used = spread(drives, n_scans)
    each = -(-n_scans // len(used))
    found = 0
    for i, drive in enumerate(used):
        scans = min(each, n_scans - found)
        for inputs in _drive_inputs(engine, drive, scans, seed=i):
            found += 1
            yield inputs
    if not found:
        raise KdmosError("no scan of the drives has a point in the model's grid")


def _drive_inputs(engine: Engine, drive: Source, n_scans: int, seed: int) -> Iterator[Inputs]:
    spec = engine.spec
    mount = drive.base_T_sensor
    if mount is None:
        mount = make_transform(np.eye(3), [0, 0, spec.sensor_height_m])
    extractor = FeatureExtractor(spec.grid, spec.features, mount)
    rng = np.random.default_rng(seed)
    n_wanted = min(n_scans, len(drive))
    wanted = set(rng.choice(len(drive), n_wanted, replace=False).tolist())
    for index, sample in enumerate(drive):
        frame = extractor.push(sample.scan)
        if index in wanted and len(frame.index):
            yield engine.bev_inputs(frame)
        if index >= max(wanted, default=-1):
            return
