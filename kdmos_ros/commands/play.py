"""`kdmos play`: play a bag over DDS."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdmos_ros.io.bag_file import BagFile
    from kdmos_ros.ros.player import Player

_POLL_S = 0.05


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "play",
        help="play a bag over DDS, if there is no `ros2 bag play`",
        description="Publish the messages of a rosbag2 (sqlite3 or MCAP) in real time. Types that"
        " are not installed here are left out, with a warning.",
    )
    parser.add_argument("bag", type=Path, help="bag directory, .mcap or .db3 file")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="only these topics")
    parser.add_argument(
        "--rate", type=_rate, default=1.0, metavar="R", help="speed; 2 is twice as fast (default 1)"
    )
    parser.add_argument("--clock", action="store_true", help="publish /clock too")
    parser.add_argument("--loop", action="store_true", help="start again at the end")
    parser.add_argument(
        "--wait-subscribers",
        nargs="?",
        type=_seconds,
        const=60.0,
        metavar="S",
        help="begin when every topic has a subscriber; give up after S seconds (default 60)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play; returns the exit status."""
    from kdmos_ros.dds_profile import dds_profile
    from kdmos_ros.io.bag_file import BagFile
    from kdmos_ros.ros.client import publishing_node
    from kdmos_ros.ros.player import Player

    os.environ.update(dds_profile(os.environ))
    # The bag first: a bad path is no reason to start ROS.
    with BagFile(args.bag) as bag, publishing_node("kdmos_play") as node:
        player = Player(node, bag, topics=args.topics, rate=args.rate, clock=args.clock)
        for topic, number in player.left_out.items():
            print(f"left out: {topic}, {number} messages of a type not installed here")
        if args.wait_subscribers is not None:
            _wait_for_subscribers(node, player, args.wait_subscribers)
        _play(args, bag, node, player)
    return 0


def _play(args: argparse.Namespace, bag: BagFile, node: Any, player: Player) -> None:
    from kdmos_ros.progress import progress

    total = sum(topic.count for topic in bag.topics if topic.name in player.topics)
    while node.context.ok():
        for _ in progress(player.play(), total, "play"):
            pass
        if not args.loop:
            player.flush()
            break
    if node.context.ok():
        counts = ", ".join(f"{topic} {number}" for topic, number in sorted(player.sent.items()))
        print(f"played: {counts}")


def _wait_for_subscribers(node: Any, player: Player, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while player.missing_subscribers() and node.context.ok():
        if time.monotonic() > deadline:
            missing = ", ".join(player.missing_subscribers())
            print(f"nobody listens to {missing}; playing anyway", file=sys.stderr)
            return
        time.sleep(_POLL_S)


def _rate(text: str) -> float:
    """A finite number above zero."""
    value = _seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _seconds(text: str) -> float:
    """A finite number, not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value
