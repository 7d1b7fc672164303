"""Times the network that KDMOS has published, as PyTorch runs it: what this package is set against.

The network is this package's own re-implementation, of the published shape and size, run as that
code does: cells are found by sorting, every voxel is scored, maps are in PyTorch's default layout.
Residual images and point features, some 300 ms more there, are left out: this is a lower bound.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kdmos_ros.bench.sweep import synthetic_scan
from kdmos_ros.features.grid import OUTSIDE, PolarGrid, to_polar

POINTS = 120_000


@dataclass(frozen=True)
class Published:
    """Median milliseconds of a scan.

    Attributes:
        points: in the grid.
        network_ms: from point features and residual map to labels.
        threads: of PyTorch.
    """

    points: int
    network_ms: float
    threads: int
    gmac: float
    parameters: int
    torch: str

    def to_text(self) -> str:
        """For people."""
        return (
            f"the published network in PyTorch {self.torch}, {self.threads} threads: "
            f"{self.network_ms:.0f} ms for {self.points:,} points ({self.gmac:.1f} GMAC, "
            f"{self.parameters:,} parameters), without residuals and features"
        )

    def to_json(self, machine: dict[str, Any], command: str) -> dict[str, Any]:
        """The figures, and what they depend on."""
        return {"published": asdict(self), "machine": machine, "command": command}


def from_json(content: Mapping[str, Any]) -> Published:
    """The inverse of `Published.to_json`; KeyError or TypeError if it is nothing of the kind."""
    return Published(**content["published"])


def time_network(threads: int = 0, points: int = POINTS, repeats: int = 9) -> Published:
    """Time the network on one synthetic scan, with random weights.

    Args:
        threads: 0 means all cores.

    Raises:
        ModuleNotFoundError: PyTorch is not installed.
    """
    import torch

    from kdmos_ros.train.config.student_config import reference_config
    from kdmos_ros.train.networks.student import Student, count_macs, count_parameters

    threads = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    config = reference_config()
    student = Student(config).eval()
    grid = PolarGrid(n_rho=config.n_rho, n_phi=config.n_phi)
    # The walls' returns beyond the grid's range do not count.
    cells = grid.cells(*to_polar(synthetic_scan(points * 5 // 4, 0.0).points))
    cells = cells[cells != OUTSIDE][:points]
    place = torch.from_numpy(cells.astype(np.int64))
    n = len(cells)
    features = torch.randn(n, config.n_point_features)
    z_bin = torch.randint(0, config.n_z, (n,))
    motion = torch.zeros(1, config.n_cells, config.n_motion)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 2):
            start = time.perf_counter()
            _label(student, features, place, z_bin, motion)
            times.append((time.perf_counter() - start) * 1e3)
    return Published(
        n,
        round(statistics.median(times[2:]), 1),
        threads,
        round(count_macs(student, n) / 1e9, 2),
        count_parameters(student),
        torch.__version__.partition("+")[0],
    )


def _label(student: Any, features: Any, place: Any, z_bin: Any, motion: Any) -> Any:
    """Classes (P,) of points (P, F) at cells `place` (P,), bins (P,); motion (1, H*W, M)."""
    import torch

    config = student.config
    h, w = config.n_rho, config.n_phi
    plane = torch.stack([place // w, place % w], 1)
    _, slot = torch.unique(plane, return_inverse=True, dim=0)
    n_occupied = int(slot.max()) + 1
    encoded = student.encoder(features)
    index = slot[:, None].expand_as(encoded)
    pooled = encoded.new_zeros(n_occupied, encoded.shape[1])
    pooled = pooled.scatter_reduce(0, index, encoded, "amax", include_self=False)
    appearance = pooled.new_zeros(config.n_cells, config.n_appearance)
    cell_of_slot = place.new_zeros(n_occupied).scatter_(0, slot, place)
    appearance[cell_of_slot] = torch.relu(student.bottleneck(pooled))
    maps = [m.view(1, h, w, -1).permute(0, 3, 1, 2).contiguous() for m in (appearance, motion)]
    weight = student.head.weight[:, :, None, None]
    scores = torch.nn.functional.conv2d(student.bev(*maps), weight, student.head.bias)
    classes = scores.view(1, config.n_z, config.n_classes, h, w).argmax(2)
    return classes[0, z_bin, place // w, place % w]
