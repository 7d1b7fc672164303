"""What takes the memory: the resident size of a process that starts to label, step by step.

As the node does it, but without ROS; the bag's reader comes on top, with the last step.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kdmos_ros.errors import KdmosError

_FIGURES = {
    "VmRSS:": "resident_mb",
    "RssAnon:": "own_mb",
    "RssFile:": "files_mb",
    "VmHWM:": "peak_mb",
}


@dataclass(frozen=True)
class Step:
    """The process after a step, MB.

    Attributes:
        resident_mb: all of it; own_mb: allocated; files_mb: libraries as they are on disk, which
            the system can take back; peak_mb: the most there was so far.
    """

    name: str
    resident_mb: float
    own_mb: float
    files_mb: float
    peak_mb: float


@dataclass(frozen=True)
class MemorySteps:
    """The steps of one model on one provider."""

    steps: tuple[Step, ...]

    def to_text(self) -> str:
        """A table for the terminal, which is Markdown too."""
        lines = ["| after | resident MB | own | files | peak |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {s.name} | {s.resident_mb:.0f} | {s.own_mb:.0f} | {s.files_mb:.0f} "
            f"| {s.peak_mb:.0f} |"
            for s in self.steps
        ]
        return "\n".join(lines)

    def to_json(self, machine: Mapping[str, Any], command: str) -> dict[str, Any]:
        """Content of a JSON file."""
        return {"machine": dict(machine), "command": command, "memory": asdict(self)["steps"]}


def measure(options: Mapping[str, Any]) -> MemorySteps:
    """Label a bag in a process of its own.

    Args:
        options: path of the bag, cloud and odometry topics, model, provider, precision, threads,
            limit (scans).

    Raises:
        KdmosError: the process failed.
    """
    command = [sys.executable, "-m", __name__, json.dumps(dict(options))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise KdmosError(f"cannot measure the memory: {last}")
    return MemorySteps(tuple(Step(**values) for values in json.loads(done.stdout)))


def _step(name: str) -> Step:
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in status]
    sizes = {_FIGURES[w[0]]: int(w[1]) / 1024 for w in words if w and w[0] in _FIGURES}
    return Step(name, **sizes)


def _run(options: Mapping[str, Any]) -> list[Step]:
    # In this order, so that each step is what its own imports and objects take.
    import numpy  # noqa: F401

    steps = [_step("Python and numpy")]
    import onnxruntime  # noqa: F401

    steps.append(_step("ONNX Runtime"))
    import numba  # noqa: F401

    steps.append(_step("numba and LLVM"))
    from kdmos_ros.pipeline.memory import return_free_memory, share_one_heap
    from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
    from kdmos_ros.segmentation.segmenter import Segmenter

    share_one_heap()
    segmenter = Segmenter(
        Path(options["model"]),
        provider=options["provider"],
        precision=options["precision"],
        num_threads=options["threads"],
    )
    steps.append(_step("this package, the networks"))
    return_free_memory()
    segmenter.warm_up()
    steps.append(_step("compiled kernels, the networks' workspace"))
    return_free_memory()
    steps.append(_step("free memory and library pages given back"))
    from kdmos_ros.io.open_bag import BagOptions, open_bag
    from kdmos_ros.pipeline.replay import replay

    with open_bag(Path(options["path"]), BagOptions(options["cloud"], options["odom"])) as bag:
        steps.append(_step("the bag's reader"))
        scans = islice(replay(bag, OnlineSegmenter(segmenter)), options["limit"])
        count = sum(1 for _ in scans)
    steps.append(_step(f"{count} scans labelled: history, features, maps"))
    return steps


if __name__ == "__main__":
    print(json.dumps([asdict(step) for step in _run(json.loads(sys.argv[1]))]))
