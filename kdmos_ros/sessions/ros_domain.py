"""A ROS domain for this process alone, so that runs at the same time do not hear each other."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from kdmos_ros.errors import KdmosError

# Domains up to 101 keep clear of the ports that Linux hands out.
DOMAINS = 101
_held: list[int] = []


def own_domain() -> int:
    """A domain, 1 to DOMAINS, that no other run on this machine has; kept until the process ends.

    Raises:
        KdmosError: they have all of them.
    """
    if _held:
        return _held[0]
    pid, folder = os.getpid(), Path(tempfile.gettempdir())
    for number in (1 + (pid + i) % DOMAINS for i in range(DOMAINS)):
        try:
            lock = os.open(folder / f"kdmos_ros_domain_{number}", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            continue  # of another user
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        _held.append(number)  # and the file stays open
        return number
    raise KdmosError(f"other runs use all ROS domains from 1 to {DOMAINS}")
