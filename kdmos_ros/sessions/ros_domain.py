"""A ROS domain for this process alone, so that runs at the same time do not hear each other."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

from kdmos_ros.errors import KdmosError

# Domains up to 101 keep clear of the ports that Linux hands out.
DOMAINS = 101
_held: dict[int, IO[bytes]] = {}


def own_domain() -> int:
    """A domain, 1 to DOMAINS, that no other run on this machine has; kept until the process ends.

    Raises:
        KdmosError: they have all of them.
    """
    pid = os.getpid()
    for number in (1 + (pid + i) % DOMAINS for i in range(DOMAINS)):
        if number in _held:
            return number
        try:
            lock = Path(tempfile.gettempdir(), f"kdmos_ros_domain_{number}").open("ab")  # noqa: SIM115
        except OSError:
            continue  # of another user
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held[number] = lock
        return number
    raise KdmosError(f"other runs use all ROS domains from 1 to {DOMAINS}")
