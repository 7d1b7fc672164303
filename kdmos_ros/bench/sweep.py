"""What a scan costs with more points, or with more past scans kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.bench.picture_files import save
from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmenter

SWEEPS = ("points", "history")
POINTS = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
PAST_SCANS = (8, 16, 32)
_HISTORY_POINTS = 120_000
_BEAMS = 64
_SPEED_M_S = 8.0


@dataclass(frozen=True)
class Cost:
    """Median milliseconds of a scan.

    Attributes:
        points: of the scan.
        past_scans: kept when it came.
        own_ms: everything but the networks.
        total_ms: with them; None where they were left out.
    """

    points: int
    past_scans: int
    own_ms: float
    total_ms: float | None = None


def sweep_points(
    segmenter: Segmenter, counts: Sequence[int] = POINTS, repeats: int = 15
) -> list[Cost]:
    """Cost of a scan by its number of points, with a full history of such scans."""
    lags = segmenter.spec.features.visibility.lags_s
    costs = []
    for n in counts:
        segmenter.reset()
        whole, own = [], []
        step_s = min(lags)
        before = round(max(lags) / step_s) + 1  # then there is a past scan for each lag
        for i in range(before + repeats):
            scan = synthetic_scan(n, i * step_s)
            start = time.perf_counter()
            timings = segmenter.push(scan).timings_ms
            total = (time.perf_counter() - start) * 1e3
            if i >= before:
                whole.append(total)
                own.append(total - timings.get("encoder", 0.0) - timings.get("bev", 0.0))
        costs.append(Cost(n, before, statistics.median(own), statistics.median(whole)))
    return costs


def sweep_history(
    segmenter: Segmenter,
    threads: int,
    past_scans: Sequence[int] = PAST_SCANS,
    points: int = _HISTORY_POINTS,
    repeats: int = 25,
) -> list[Cost]:
    """Cost of a scan's features by the number of past scans kept, from as many scans a second."""
    spec = segmenter.spec
    oldest = max(spec.features.visibility.lags_s)
    mount = make_transform(np.eye(3), [0, 0, spec.sensor_height_m])
    runs = []
    for n in past_scans:
        extractor = FeatureExtractor(spec.grid, spec.features, mount, threads)
        for i in range(n):
            extractor.push(synthetic_scan(points, i * oldest / (n - 1)))
        runs.append((n, extractor))
    times: dict[int, list[float]] = {n: [] for n in past_scans}
    for i in range(repeats):  # by turns, so that what else the machine does meets all of them
        for n, extractor in runs:
            scan = synthetic_scan(points, (n + i) * oldest / (n - 1))
            start = time.perf_counter()
            extractor.push(scan)
            times[n].append((time.perf_counter() - start) * 1e3)
    return [Cost(points, n, statistics.median(times[n])) for n in past_scans]


def synthetic_scan(n_points: int, time_s: float) -> Scan:
    """A 64-beam scan of a road between two walls, from a sensor that drives along it."""
    columns = -(-n_points // _BEAMS)
    azimuth = np.linspace(-np.pi, np.pi, columns, endpoint=False, dtype=np.float32)
    elevation = np.radians(np.linspace(-24.8, 2.0, _BEAMS, dtype=np.float32))[:, None]
    down = 1.73 / np.maximum(np.sin(-elevation), 1e-3)
    along = _SPEED_M_S * time_s
    wobble = 12 + 3 * np.sin(3 * azimuth + 0.1 * along)
    wall = wobble / np.maximum(np.abs(np.sin(azimuth)), 0.2) / np.cos(elevation)
    distance = np.minimum(down, wall)
    flat = distance * np.cos(elevation)
    points = np.stack(
        [flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)], -1
    ).reshape(-1, 3)
    pose = make_transform(np.eye(3), [along, 0, 0])
    return Scan(points[:n_points].astype(np.float32), None, round(time_s * 1e9), pose)


def slope(costs: Sequence[Cost]) -> tuple[float, float]:
    """Microseconds that a point costs, and how well a straight line fits (R squared)."""
    x: npt.NDArray[np.float64] = np.array([c.points for c in costs], np.float64)
    y = np.array([c.own_ms for c in costs])
    rise, start = np.polyfit(x, y, 1)
    left = y - (rise * x + start)
    return float(rise * 1e3), float(1 - left.var() / y.var()) if y.var() > 0 else 1.0


@dataclass
class Sweep:
    """One sweep.

    Attributes:
        kind: one of SWEEPS.
        run: model, provider, precision and threads.
    """

    kind: str
    costs: list[Cost]
    run: dict[str, Any]

    @property
    def spread(self) -> float:
        """By how much the dearest is dearer than the cheapest, networks left out; 0.1 is 10 %."""
        own = [c.own_ms for c in self.costs]
        return max(own) / min(own) - 1

    def verdict(self) -> str:
        """What it amounts to."""
        if self.kind == "points":
            rise, fit = slope(self.costs)
            return f"{rise:.3f} microseconds a point, R squared {fit:.3f}"
        return f"most and least differ by {self.spread:.0%}"

    def to_text(self) -> str:
        """A table for people."""
        lines = [f"{'points':>8} {'past scans':>11} {'own ms':>8} {'with networks':>14}"]
        for c in self.costs:
            total = "" if c.total_ms is None else f"{c.total_ms:.1f}"
            lines.append(f"{c.points:8} {c.past_scans:11} {c.own_ms:8.1f} {total:>14}")
        return "\n".join([*lines, self.verdict()])

    def to_json(self, machine: dict[str, Any], command: str) -> dict[str, Any]:
        """The figures, and what they depend on."""
        costs = [asdict(c) for c in self.costs]
        return {
            "sweep": self.kind,
            "run": self.run,
            "machine": machine,
            "command": command,
            "costs": costs,
        }


def from_json(content: Mapping[str, Any]) -> Sweep:
    """The inverse of `Sweep.to_json`; KeyError or TypeError if it is nothing of the kind."""
    return Sweep(content["sweep"], [Cost(**c) for c in content["costs"]], content["run"])


def plot(sweep: Sweep, path: Path) -> None:
    """Draw the costs.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        KdmosError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    costs, points = sweep.costs, sweep.kind == "points"
    figure = Figure(figsize=(6, 3.6))
    axes = figure.subplots()
    x = [c.points / 1000 if points else c.past_scans for c in costs]
    axes.plot(x, [c.own_ms for c in costs], "o-", label="everything but the networks")
    if all(c.total_ms is not None for c in costs):
        axes.plot(x, [c.total_ms or 0.0 for c in costs], "s--", label="with the networks")
    axes.set_xlabel("thousand points" if points else "past scans kept")
    axes.set_ylabel("milliseconds a scan (median)")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
