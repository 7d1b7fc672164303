"""Plays a bag to the node in real time over DDS and records its answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import DIAGNOSTICS, POINT_CLOUD, TF, BagFile
from kdmos_ros.io.bag_messages import header_stamp
from kdmos_ros.io.bag_poses import TF_STATIC
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.ros.client import DIAGNOSTICS_TOPIC, LABELLED_TOPIC, Monitor, ros_node
from kdmos_ros.ros.player import Player
from kdmos_ros.ros.recorder import Recorder
from kdmos_ros.sessions.node_process import NodeProcess

# The first start compiles the numerical code, which takes most of a minute on a slow machine.
_START_S = 240.0
_CONNECT_S = 30.0
_SETTLE_S = 0.5
_QUIET_S = 3.0
_POLL_S = 0.05


@dataclass
class Played:
    """What was sent: stamp (ns) of each cloud -> wall-clock time of sending (ns)."""

    clouds: dict[int, int] = field(default_factory=dict)


def run_session(
    drive: BagReader,
    process: NodeProcess,
    output: Path,
    seconds: float | None,
    on_cloud: Callable[[Monitor], None],
) -> Played:
    """Play the clouds, odometry and clock of a bag to a running node and record what it answers.

    Args:
        drive: what to play.
        process: the node.
        output: bag to write, with LABELLED_TOPIC, DIAGNOSTICS_TOPIC, odometry and mount.
        seconds: play only so much of the bag; None: all.
        on_cloud: called after each cloud was sent.

    Raises:
        KdmosError: the node does not start, does not connect, or ends.
    """
    with ros_node("kdmos_demo") as node, BagFile(drive.path) as bag:
        kinds = {topic.name: topic.msgtype for topic in bag.topics}
        player = Player(node, bag, topics=[drive.cloud_topic, drive.odom_topic], clock=True)
        # Not compressed: on two cores that time is the node's, and it would save a fifth only.
        with BagWriter(output, overwrite=True, compress=False) as writer:
            _copy_mount(bag, writer)
            recorder = Recorder(
                node,
                {
                    LABELLED_TOPIC: POINT_CLOUD,
                    DIAGNOSTICS_TOPIC: DIAGNOSTICS,
                    drive.odom_topic: kinds[drive.odom_topic],
                },
                writer,
            )
            try:
                monitor = Monitor(node)
                wait_until_active(monitor, process)
                wait_until(
                    lambda: (
                        not player.missing_subscribers()
                        and node.count_publishers(LABELLED_TOPIC) > 0
                    ),
                    process,
                    _CONNECT_S,
                    "the node does not listen to the topics that are played",
                )
                time.sleep(_SETTLE_S)  # the node finds our subscription when we find its publisher
                played = _play(
                    player, drive.cloud_topic, process, seconds, lambda: on_cloud(monitor)
                )
                player.flush()
                _drain(monitor, recorder, process)
            finally:
                # However it ends: nothing may be written to a bag that is closed or given up.
                recorder.close()
    return played


def _play(
    player: Player,
    cloud_topic: str,
    process: NodeProcess,
    seconds: float | None,
    on_cloud: Callable[[], None],
) -> Played:
    played = Played()
    first: int | None = None
    for raw in player.play():
        first = raw.stamp_ns if first is None else first
        if raw.topic == cloud_topic:
            process.check()
            played.clouds[header_stamp(raw.data)] = time.time_ns()
            on_cloud()
        if seconds is not None and raw.stamp_ns - first >= seconds * 1e9:
            break
    return played


def _copy_mount(bag: BagFile, writer: BagWriter) -> None:
    """Static transforms go from bag to bag, since tf2_msgs is not on every machine."""
    writer.add_topic(TF_STATIC, TF, latched=True)
    for raw in bag.messages([TF_STATIC]):
        if raw.msgtype == TF:
            writer.write_raw(TF_STATIC, time.time_ns(), raw.data)


def _drain(monitor: Monitor, recorder: Recorder, process: NodeProcess) -> None:
    """Wait until the node has nothing left to do and its last figures have come."""
    quiet_since, last = time.monotonic(), (-1, -1, -1)
    while time.monotonic() - quiet_since < _QUIET_S:
        process.check()
        now = (monitor.count("labelled"), monitor.count("dropped"), recorder.counts[LABELLED_TOPIC])
        if now != last:
            quiet_since, last = time.monotonic(), now
        time.sleep(_POLL_S)


def wait_until_active(monitor: Monitor, process: NodeProcess) -> None:
    """Wait until the node says that it is active.

    Raises:
        KdmosError: it does not become active in time, or has ended.
    """
    wait_until(
        lambda: monitor.values.get("state") == "active",
        process,
        _START_S,
        "the node does not become active",
    )


def wait_until(
    condition: Callable[[], bool], process: NodeProcess, patience_s: float, complaint: str
) -> None:
    """Wait for a condition.

    Raises:
        KdmosError: with the complaint, when patience is over; or the process has ended.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        process.check()
        if time.monotonic() > deadline:
            raise KdmosError(f"{complaint} (waited {patience_s:g} s; log: {process.log})")
        time.sleep(_POLL_S)
