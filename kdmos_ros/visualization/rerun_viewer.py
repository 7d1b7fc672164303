"""Shows labelled frames in the Rerun viewer (https://rerun.io), or writes a file for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.io.atomic import new_file
from kdmos_ros.labels import CLASS_COLOURS, CLASS_NAMES, MOVING
from kdmos_ros.visualization.pictures import LabelledFrame

_RADIUS_M, _MOVING_RADIUS_M = 0.03, 0.08


def show(
    frames: Iterable[LabelledFrame], path: npt.NDArray[np.float64], name: str, file: Path | None
) -> int:
    """Log frames one by one; returns how many.

    Args:
        path: (K, 3) positions of the ego vehicle in odom.
        name: of the recording.
        file: an .rrd file to write instead of opening the viewer.

    Raises:
        ModuleNotFoundError: rerun is not installed.
    """
    if file is None:
        return _log(frames, path, name, None)
    with new_file(file) as scratch:
        return _log(frames, path, name, scratch)


def _log(
    frames: Iterable[LabelledFrame],
    path: npt.NDArray[np.float64],
    name: str,
    file: Path | None,
) -> int:
    import rerun

    count = 0
    with rerun.RecordingStream("kdmos_ros", recording_id=name) as stream:
        if file is None:
            stream.spawn()
        else:
            stream.save(file)
        rerun.log("odom", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        if len(path):
            rerun.log("odom/path", rerun.LineStrips3D([path]), static=True)
        for frame in frames:
            rerun.set_time("time", timestamp=np.datetime64(frame.stamp_ns, "ns"))
            rerun.log(
                "odom/ego",
                rerun.Transform3D(
                    translation=frame.base_pose[:3, 3], mat3x3=frame.base_pose[:3, :3]
                ),
            )
            _log_points(frame)
            count += 1
        stream.flush()
    return count


def _log_points(frame: LabelledFrame) -> None:
    """One entity a class, so that each can be hidden."""
    import rerun

    seen = np.isfinite(frame.points).all(axis=1) & frame.points.any(axis=1)
    for label, (name, colour) in enumerate(zip(CLASS_NAMES, CLASS_COLOURS, strict=True)):
        points = frame.points[seen & (frame.labels == label)].astype(np.float64)
        rerun.log(
            f"odom/points/{name}",
            rerun.Points3D(
                points @ frame.pose[:3, :3].T + frame.pose[:3, 3],
                colors=colour,
                radii=_MOVING_RADIUS_M if label == MOVING else _RADIUS_M,
            ),
        )
