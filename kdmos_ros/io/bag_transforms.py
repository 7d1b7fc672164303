"""The frames of a bag: /tf and /tf_static, looked up at any stamp as tf2 does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry import transforms
from kdmos_ros.io.bag_file import TF, BagFile, decode_cdr
from kdmos_ros.io.bag_poses import Ignored
from kdmos_ros.poses.buffer import PoseBuffer
from kdmos_ros.poses.pose_messages import frame_of, place_of, stamp_ns_of

Matrix = npt.NDArray[np.float64]

TF_TOPIC = "/tf"


class BagTransforms:
    """All transforms of a bag; broken ones (zero quaternion, NaN) are left out, as by tf2.

    Args:
        static: {(parent, child): T_parent_child (4, 4)}, of /tf_static.
        ignored: takes note of broken ones.
    """

    def __init__(
        self, bag: BagFile, static: dict[tuple[str, str], Matrix], ignored: Ignored
    ) -> None:
        self._ignored = ignored
        self._parent = {child: parent for parent, child in static}
        self._static = {child: pose for (_, child), pose in static.items()}
        self._moving: dict[str, PoseBuffer] = {}
        for raw in bag.messages([TF_TOPIC]):
            if raw.msgtype == TF:
                for message in decode_cdr(raw).transforms:
                    self._add(message)

    @property
    def has_moving(self) -> bool:
        """Whether there is any transform on /tf."""
        return bool(self._moving)

    def fixed_frame(self, frame: str, names: Sequence[str]) -> str:
        """The first of these names of a frame that the given one moves in; empty: none."""
        return next((n for n in names if any(f in self._moving for f in self._links(n, frame))), "")

    def connects(self, target: str, source: str) -> bool:
        """Whether there is a way between two frames, at any time."""
        return self._meeting(target, source) is not None

    def look_up(self, target: str, source: str, stamp_ns: int) -> Matrix:
        """T_target_source (4, 4) at a stamp.

        Raises:
            PoseError: `unknown_frame`, `not_connected`, or that of a link, see PoseBuffer.at.
        """
        known = {*self._parent, *self._parent.values()}
        if missing := [frame for frame in (target, source) if frame not in known]:
            raise PoseError(
                "unknown_frame",
                f"no transform {target} -> {source}: the bag's /tf and /tf_static do not know the "
                f"frame {missing[0]!r}",
            )
        meeting = self._meeting(target, source)
        if meeting is None:
            raise PoseError(
                "not_connected",
                f"no transform {target} -> {source}: the bag's /tf and /tf_static do not connect "
                "these frames",
            )
        from_target = self._pose_in(meeting, target, stamp_ns)
        return transforms.invert(from_target) @ self._pose_in(meeting, source, stamp_ns)

    def _add(self, message: Any) -> None:
        parent, child = frame_of(message.header.frame_id), frame_of(message.child_frame_id)
        at_ns = stamp_ns_of(message.header)
        try:
            pose = place_of(message)
        except ValueError as error:
            self._ignored.add(f"{TF_TOPIC} ({parent} -> {child})", at_ns, str(error))
            return
        name = f"transform {parent} -> {child}"
        links = self._moving.setdefault(child, PoseBuffer(math.inf, math.inf, name=name))
        links.add(at_ns, pose)
        self._parent[child] = parent

    def _meeting(self, target: str, source: str) -> str | None:
        down = self._ancestors(target)
        return next((frame for frame in self._ancestors(source) if frame in down), None)

    def _links(self, target: str, source: str) -> list[str]:
        """The frames between two whose links to their parents lead from one to the other."""
        meeting = self._meeting(target, source)
        if meeting is None:
            return []
        ways = (self._ancestors(target), self._ancestors(source))
        return [frame for way in ways for frame in way[: way.index(meeting)]]

    def _ancestors(self, frame: str) -> list[str]:
        """A frame, its parent and so on."""
        frames = [frame]
        while (parent := self._parent.get(frames[-1])) and parent not in frames:
            frames.append(parent)
        return frames

    def _pose_in(self, ancestor: str, frame: str, stamp_ns: int) -> Matrix:
        pose = np.eye(4)
        while frame != ancestor:
            moving = self._moving.get(frame)
            link = self._static[frame] if moving is None else moving.at(stamp_ns)
            pose = link @ pose
            frame = self._parent[frame]
        return pose
