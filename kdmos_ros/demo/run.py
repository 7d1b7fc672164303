"""The demo from beginning to end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.demo.summary import Summary, labelled_clouds, summarise
from kdmos_ros.errors import KdmosError, PoseError
from kdmos_ros.geometry.transforms import matrix_to_quaternion
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.bag_file import BagFile
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.sessions.node_process import NodeProcess, isolate
from kdmos_ros.visualization.pictures import (
    LabelledFrame,
    draw_animation,
    draw_overview,
    save_animation,
)

if TYPE_CHECKING:
    from kdmos_ros.evaluation.bag_evaluation import LabelSource

# A drive with much to see in it.
_SEED, _SCENE, _EGO = 2, "crossing", "driving"
_ANIMATION_FRAMES = 100


@dataclass(frozen=True)
class Outputs:
    """Files that the demo writes."""

    folder: Path

    @property
    def drive(self) -> Path:
        """The simulated drive, a bag."""
        return self.folder / "drive"

    @property
    def recording(self) -> Path:
        """What the node answered, a bag."""
        return self.folder / "labeled"

    @property
    def node_log(self) -> Path:
        """What the node printed."""
        return self.folder / "node.log"

    @property
    def picture(self) -> Path:
        """The drive from above."""
        return self.folder / "overview.png"

    @property
    def animation(self) -> Path:
        """The scans one by one."""
        return self.folder / "animation.gif"

    @property
    def figures(self) -> Path:
        """The table, for programs."""
        return self.folder / "summary.json"

    def prepare(self) -> None:
        """Make the folder; results of an earlier run would be taken for those of this one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.picture, self.animation, self.figures):
            path.unlink(missing_ok=True)


def simulate(outputs: Outputs, seconds: float, sensor: str) -> Path:
    """Write a simulated drive with labels; returns the bag."""
    from kdmos_ros.io.drive_bag import DriveWriter, pack_labels
    from kdmos_ros.progress import progress
    from kdmos_ros.sim import make_drive

    drive = make_drive(
        _SEED, sensor=sensor, duration_s=seconds, scene=_SCENE, ego=_EGO, movers=True
    )
    say(f"simulating a drive of {seconds:g} s, {drive.sensor.name}")
    with DriveWriter(outputs.drive, drive.base_T_sensor, overwrite=True) as writer:
        for frame in progress(drive, len(drive), "simulate"):
            writer.add(frame.scan, pack_labels(frame.labels, frame.instance))
    return outputs.drive


def run_demo(
    bag: BagReader,
    outputs: Outputs,
    parameters: Mapping[str, str],
    labels: LabelSource | None,
    seconds: float | None,
) -> Summary:
    """Play a bag to the node, record, and write table, picture and animation.

    Args:
        parameters: of the node; the mount and the clock are added.
        labels: truth, or None.
        seconds: play so much of the bag; None: all.

    Raises:
        KdmosError: the node fails, or labelled nothing.
    """
    os.environ.update(isolate())
    from kdmos_ros.ros.client import DIAGNOSTICS_TOPIC, LABELLED_TOPIC, Monitor
    from kdmos_ros.sessions.playback import run_session

    index_of = _scan_index(bag) if labels is not None else {}
    say("starting the node")
    process = NodeProcess(
        {"points": bag.cloud_topic, "odom": bag.odom_topic},
        {
            "use_sim_time": "true",
            "base_to_lidar": _mount_text(bag.base_T_sensor),
            "diagnostics_period": "0.5",
            **parameters,
        },
        outputs.node_log,
    )
    ticker = _Ticker(bag.n_scans)

    def tick(monitor: Monitor) -> None:
        ticker.tick(monitor.count("labelled"))

    with process:
        try:
            played = run_session(bag, process, outputs.recording, seconds, tick)
        except KdmosError:
            _show_log(process)
            raise
        finally:
            ticker.close()
    summary = summarise(
        outputs.recording, LABELLED_TOPIC, DIAGNOSTICS_TOPIC, played.clouds, labels, index_of
    )
    print(summary.to_text())
    with new_file(outputs.figures) as path:
        path.write_text(json.dumps(summary.to_dict(), indent=2) + "\n")
    if not summary.recorded:
        _show_log(process)
        reasons = ", ".join(f"{n} {reason}" for reason, n in summary.dropped.items())
        raise KdmosError(f"the node labelled no scan ({reasons or 'none arrived'})")
    if summary.dropped.get("superseded"):
        say(
            "superseded: a newer scan came before the node was free, so this machine is too slow,"
            " or too busy, for the model at this rate"
        )
    _draw(bag, outputs, LABELLED_TOPIC, summary)
    return summary


def say(text: str) -> None:
    """Tell the user what happens; the table alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)


class _Ticker:
    """Counts played scans on a terminal."""

    def __init__(self, total: int) -> None:
        self._bar: Any = None
        self._total = total

    def tick(self, labelled: int) -> None:
        if self._bar is None:
            say("playing the drive in real time")
            if not sys.stderr.isatty():
                self._bar = False
            else:
                from tqdm import tqdm

                self._bar = tqdm(total=self._total, desc="play", unit="scan", leave=False)
        if self._bar:
            self._bar.update()
            self._bar.set_postfix(labelled=labelled)

    def close(self) -> None:
        if self._bar:
            self._bar.close()


def _scan_index(bag: BagReader) -> dict[int, int]:
    return {stamp: index for index, (stamp, _) in enumerate(bag.clouds())}


def _mount_text(mount: npt.NDArray[np.float64]) -> str:
    numbers = [*mount[:3, 3], *matrix_to_quaternion(mount[:3, :3])]
    return '"' + " ".join(f"{v:.9g}" for v in numbers) + '"'


def _show_log(process: NodeProcess) -> None:
    for line in process.last_lines():
        say(f"  node: {line}")


def _draw(bag: BagReader, outputs: Outputs, topic: str, summary: Summary) -> None:
    say("drawing")
    path = np.array([pose[:3, 3] for _, pose in bag.odometry])

    def frames() -> Iterator[LabelledFrame]:
        for stamp, points, labels in labelled_clouds(outputs.recording, topic):
            try:
                pose = bag.poses.at(stamp) @ bag.base_T_sensor
            except PoseError:
                continue
            yield LabelledFrame(points, labels, pose, bag.base_T_sensor, stamp)

    with new_file(outputs.picture) as file:
        draw_overview(frames, summary.recorded, path, _caption(summary)).save(file)
    step = 1 + (summary.recorded - 1) // _ANIMATION_FRAMES
    pictures = list(draw_animation(islice(frames(), 0, None, step), path))
    with BagFile(outputs.recording) as recording:
        stamps = [m.stamp_ns for m in recording.messages([topic])]
    with new_file(outputs.animation) as file:
        save_animation(pictures, file, (stamps[-1] - stamps[0]) * 1e-9 / 2)


def _caption(summary: Summary) -> list[str]:
    lines = [f"{summary.labelled} of {summary.played} scans labelled in real time"]
    if summary.confusion is not None and summary.confusion.iou is not None:
        lines.append(f"moving IoU {summary.confusion.iou:.3f}")
    return lines
