"""How the LiDAR of a simulated drive is mounted, as options tell it."""

from __future__ import annotations

import argparse

ATTITUDE_HELP = (
    "roll, pitch and yaw in degrees by which the LiDAR itself is turned, e.g. '0 90 0' for nose"
    " down; with '=' if the first is negative: --mount-rpy='-90 0 0'"
)


def height_m(text: str) -> float:
    """A height above the ground, metres."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"expected metres above 0, got {text!r}")
    return value


def heights(text: str) -> list[float]:
    """Heights with commas between them, metres."""
    return [height_m(part) for part in text.split(",")]


def attitude(text: str) -> tuple[float, float, float]:
    """Roll, pitch and yaw in degrees, with spaces or commas between them."""
    try:
        roll, pitch, yaw = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected three angles, got {text!r}") from None
    return roll, pitch, yaw
