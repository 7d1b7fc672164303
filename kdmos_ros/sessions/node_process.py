"""The node in its own process, as `ros2 run` would start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdmos_ros.closing import Closing
from kdmos_ros.dds_profile import dds_profile
from kdmos_ros.errors import KdmosError
from kdmos_ros.resources import PACKAGE, share_dir
from kdmos_ros.sessions.ros_domain import own_domain

_STOP_S = 10.0
_SHOWN_LINES = 15


def isolate(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for a demo that neither hears nor disturbs other ROS 2 systems of the network.

    They must be set before rclpy is initialised, here and in the node's process. The Fast DDS
    profile is what lets whole scans through shared memory; one that is set already stays.

    Args:
        environment: present variables; default: this process's.
    """
    present = os.environ if environment is None else environment
    variables = {
        "ROS_DOMAIN_ID": str(own_domain()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    if present.get("ROS_DISTRO") == "humble":
        variables["ROS_LOCALHOST_ONLY"] = "1"  # newer releases warn about it
    return {**variables, **dds_profile(present)}


def executable() -> Path:
    """The `mos_node` that `ros2 run` and launch start.

    Raises:
        KdmosError: the install is incomplete.
    """
    share = share_dir()
    candidates = [share / "scripts" / "mos_node", share.parents[1] / "lib" / PACKAGE / "mos_node"]
    for path in candidates:
        if path.is_file():
            return path
    raise KdmosError(f"mos_node is missing ({candidates[-1]}): install kdmos_ros again")


class NodeProcess(Closing):
    """Starts the node; use it in a `with` statement, which ends it whatever happens.

    Args:
        remappings: from name -> to name.
        parameters: name -> value, as text.
        log: file for what the node prints.
    """

    def __init__(
        self, remappings: Mapping[str, str], parameters: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        self._command = [sys.executable, str(executable()), "--ros-args"]
        for source, target in remappings.items():
            self._command += ["-r", f"{source}:={target}"]
        for name, value in parameters.items():
            self._command += ["-p", f"{name}:={value}"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        with self.log.open("wb") as log:
            # A session of its own: ^C at the terminal is for us, and we tell the node once.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def close(self) -> None:
        """See `stop`."""
        self.stop()

    @property
    def ended(self) -> int | None:
        """Exit status if the process has ended by itself."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        """Number of the process; it must have been started."""
        assert self._process is not None
        return self._process.pid

    def check(self) -> None:
        """Raise if the node is gone.

        Raises:
            KdmosError: it ended; the message has its status and last line.
        """
        status = self.ended
        if status is not None:
            lines = self.last_lines(1)
            said = f": {lines[0]}" if lines else ""
            raise KdmosError(f"the node ended with status {status}{said} (log: {self.log})")

    def stop(self) -> None:
        """End the process: politely, then by force."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                return
            process.send_signal(number)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                continue

    def last_lines(self, count: int = _SHOWN_LINES) -> Sequence[str]:
        """The end of what the node printed."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-count:]
