"""Runs the node's segmenter over a recorded drive, without ROS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from kdmos_ros import cloud
from kdmos_ros.errors import CloudError, PoseError
from kdmos_ros.io.bags import BagReader
from kdmos_ros.scan import Scan
from kdmos_ros.segmenter import Segmentation, Segmenter


@dataclass(frozen=True)
class ReplayedScan:
    """One scan of the drive and what became of it.

    Attributes:
        index: position of the cloud in the bag, from 0, dropped ones included.
        stamp_ns: its stamp.
        n_points: points of the cloud (height * width).
        scan, result: the input and output, or None if it was dropped.
        dropped: why, as the node counts it; empty if it was not.
        timings_ms: milliseconds by stage (decode, pose and the segmenter's), and `total`.
    """

    index: int
    stamp_ns: int
    n_points: int
    scan: Scan | None = None
    result: Segmentation | None = None
    dropped: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)


def replay(
    bag: BagReader, segmenter: Segmenter, limit: int | None = None
) -> Iterator[ReplayedScan]:
    """Label the clouds of a bag in order, each from itself and earlier ones only.

    The segmenter gets the bag's mount and is reset first, and again where the stamps run
    backwards. As in the node, a cloud that cannot be read, has no pose or repeats a stamp is
    dropped, never guessed.
    """
    segmenter.set_mount(bag.base_T_sensor)
    segmenter.reset()
    previous: int | None = None
    for index, (stamp_ns, message) in enumerate(bag.clouds()):
        if limit is not None and index >= limit:
            return
        n_points = int(message.height) * int(message.width)
        start = time.perf_counter()
        try:
            decoded = cloud.decode(message)
            decode_end = time.perf_counter()
            pose = bag.poses.at(stamp_ns) @ bag.base_T_sensor
        except (CloudError, PoseError) as error:
            yield ReplayedScan(index, stamp_ns, n_points, dropped=error.reason)
            continue
        if stamp_ns == previous:
            yield ReplayedScan(index, stamp_ns, n_points, dropped="repeated_stamp")
            continue
        if previous is not None and stamp_ns < previous:
            segmenter.reset()
        previous = stamp_ns
        scan = Scan(decoded.points, decoded.intensity, stamp_ns, pose)
        pose_end = time.perf_counter()
        result = segmenter.push(scan)
        end = time.perf_counter()
        timings = {
            "decode": (decode_end - start) * 1e3,
            "pose": (pose_end - decode_end) * 1e3,
            **result.timings_ms,
            "total": (end - start) * 1e3,
        }
        yield ReplayedScan(index, stamp_ns, n_points, scan, result, timings_ms=timings)
