"""Poses of a bag: odometry in every usual message type, and the transforms that never change."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import PARAMETERS
from kdmos_ros.geometry import transforms
from kdmos_ros.io.bag_file import TF, BagFile, decode_cdr
from kdmos_ros.poses.pose_messages import PoseReader, frame_of, place_of

Matrix = npt.NDArray[np.float64]

TF_STATIC = "/tf_static"
BASE_FRAME: str = PARAMETERS["base_frame"]


class Ignored:
    """Broken poses and transforms (zero quaternion, NaN) by where they are; left out, as by tf2."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, where: str, stamp_ns: int, why: str) -> None:
        """Take note of one."""
        self._counts[where] += 1
        self._first.setdefault(where, f"at {stamp_ns} ns: {why}")

    def notes(self) -> list[str]:
        """What the user should know, a line each."""
        return [
            f"{count} broken {'pose' if count == 1 else 'poses'} of {where} ignored "
            f"({self._first[where]})"
            for where, count in self._counts.items()
        ]

    def __len__(self) -> int:
        return self._counts.total()


class BagPoses:
    """Reads the poses of a topic, once.

    Args:
        topic: of one of POSE_TYPES; empty: there are none.
        ignored: takes note of broken poses.

    Attributes:
        odometry: (stamp in ns, T_fixed_base (4, 4)) in the order of recording.
        fixed_frame, base_frame: of the first pose; the base is `base_link` where it is not named,
            except for an Odometry, whose child frame should be.
    """

    def __init__(self, bag: BagFile, topic: str, ignored: Ignored) -> None:
        self.odometry: list[tuple[int, Matrix]] = []
        self.fixed_frame, self.base_frame = "", "" if topic else BASE_FRAME
        reader = PoseReader(lambda at_ns, why: ignored.add(topic, at_ns, why), BASE_FRAME)
        for raw in bag.messages([topic]) if topic else []:
            for found in reader.read(decode_cdr(raw), raw.msgtype):
                if not self.odometry:
                    self.fixed_frame, self.base_frame = found.parent, found.child
                self.odometry.append((found.stamp_ns, found.pose))


def read_static(bag: BagFile, ignored: Ignored) -> dict[tuple[str, str], Matrix]:
    """{(parent, child): T_parent_child (4, 4)} of /tf_static; takes note of broken ones."""
    static: dict[tuple[str, str], Matrix] = {}
    for raw in bag.messages([TF_STATIC]):
        for transform in decode_cdr(raw).transforms if raw.msgtype == TF else []:
            link = frame_of(transform.header.frame_id), frame_of(transform.child_frame_id)
            try:
                static[link] = place_of(transform)
            except ValueError as error:
                ignored.add(f"{raw.topic} ({' -> '.join(link)})", raw.stamp_ns, str(error))
    return static


def chain(static: dict[tuple[str, str], Matrix], target: str, source: str) -> Matrix | None:
    """T_target_source along static transforms {(parent, child): T_parent_child}, or None.

    Links are followed in both directions, as tf2 does.
    """
    found = {target: np.eye(4)}
    frontier = [target]
    while frontier and source not in found:
        frame = frontier.pop()
        for (parent, child), link in static.items():
            if parent == frame and child not in found:
                found[child] = found[frame] @ link
                frontier.append(child)
            elif child == frame and parent not in found:
                found[parent] = found[frame] @ transforms.invert(link)
                frontier.append(parent)
    return found.get(source)
