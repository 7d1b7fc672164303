"""How long a first start takes: the node with no kernel compiled, until it has labelled a cloud."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdmos_ros.bench.node_timing import fed_node
from kdmos_ros.bench.stage_times import Case
from kdmos_ros.errors import KdmosError

_PATIENCE_S = 120.0


@dataclass(frozen=True)
class FirstLabel:
    """Seconds from the start of the node's process.

    Attributes:
        active_s: until it took clouds. label_s: until its first labelled cloud came.
        cpu_s: that its process had worked by then, in all its threads.
    """

    active_s: float
    label_s: float
    cpu_s: float

    def to_text(self) -> str:
        """For the terminal."""
        return (
            f"no kernel compiled: active after {self.active_s:.1f} s, first labelled cloud after "
            f"{self.label_s:.1f} s ({self.cpu_s:.1f} s of CPU in the node's process)"
        )

    def to_json(self, machine: Mapping[str, Any], command: str) -> dict[str, Any]:
        """Content of a JSON file."""
        return {"machine": dict(machine), "command": command, "first_label": asdict(self)}


def measure(case: Case) -> FirstLabel:
    """Start the node as after an install, and play a bag to it.

    The caller keeps other ROS 2 systems apart (`node_process.isolate`).

    Raises:
        KdmosError: the node does not start, or labels nothing.
    """
    with tempfile.TemporaryDirectory(prefix="kdmos_kernels_") as empty:
        kept = os.environ.get("NUMBA_CACHE_DIR")
        os.environ["NUMBA_CACHE_DIR"] = empty
        try:
            return _measure(case)
        finally:
            del os.environ["NUMBA_CACHE_DIR"]
            if kept is not None:
                os.environ["NUMBA_CACHE_DIR"] = kept


def _measure(case: Case) -> FirstLabel:
    started = time.monotonic()
    with fed_node(case) as fed:
        first: list[tuple[float, float]] = []

        def look() -> None:
            fed.process.check()
            if fed.probe.arrived and not first:
                first.append((min(fed.probe.arrived.values()), _cpu_s(fed.process.pid)))

        fed.feeder.play(look, case.limit)
        deadline = time.monotonic() + _PATIENCE_S
        while not first and time.monotonic() < deadline:
            look()
            time.sleep(0.01)
        if not first:
            raise KdmosError(f"the node labelled nothing within {_PATIENCE_S:g} s")
        ((arrived, cpu_s),) = first
        return FirstLabel(fed.ready_s, arrived - started, cpu_s)


def _cpu_s(pid: int) -> float:
    """Seconds that a process has worked, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
