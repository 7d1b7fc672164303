"""Memory of a process over hours: what `kdmos bench --soak` finds."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdmos_ros.bench.picture_files import save
from kdmos_ros.closing import Closing

# What comes before fills caches and buffers.
SETTLED_S = 60.0
_SAMPLES = 1000
_KINDS = {"VmRSS": "resident_mb", "RssAnon": "anonymous_mb", "RssShmem": "shared_mb"}


@dataclass(frozen=True)
class Sample:
    """Memory at one moment, MB: all that is resident; of it without a file behind it; and shared.

    Attributes:
        time_s: since the first sample.
        labelled: clouds by then.
    """

    time_s: float
    resident_mb: float
    anonymous_mb: float
    shared_mb: float
    labelled: int = 0


@dataclass
class Soak:
    """One long run.

    Attributes:
        run: model, provider, precision, rate_hz and seconds.
        peak_mb: most that was resident at once, the start included.
        counts: of `bench_session.Feed`.
    """

    run: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    peak_mb: float = 0.0
    counts: dict[str, Any] = field(default_factory=dict)

    def settled(self) -> list[Sample]:
        """Samples after the first minute, or of the second half of a shorter run."""
        end = self.samples[-1].time_s if self.samples else 0.0
        return [s for s in self.samples if s.time_s >= min(SETTLED_S, end / 2)]

    def slope_mb_per_h(self) -> float:
        """Rise of the resident memory by least squares over the settled samples."""
        samples = self.settled()
        if len(samples) < 2:
            return float("nan")
        hours = [s.time_s / 3600 for s in samples]
        return float(np.polyfit(hours, [s.resident_mb for s in samples], 1)[0])

    def summary(self) -> dict[str, float]:
        """Resident MB: first and last tenth (medians) and most of the settled part; slope; peak."""
        resident = [s.resident_mb for s in self.settled()]
        tenth = max(1, len(resident) // 10)
        return {
            "minutes": self.samples[-1].time_s / 60,
            "first_mb": float(np.median(resident[:tenth])),
            "last_mb": float(np.median(resident[-tenth:])),
            "most_mb": max(resident),
            "slope_mb_per_h": self.slope_mb_per_h(),
            "peak_mb": self.peak_mb,
        }

    def to_text(self) -> str:
        """For people."""
        s, c = self.summary(), self.counts
        return (
            f"{s['minutes']:.1f} minutes, {c['labelled']} of {c['sent']} clouds labelled: "
            f"{s['first_mb']:.0f} MB once settled, {s['last_mb']:.0f} MB at the end, most "
            f"{s['most_mb']:.0f} MB ({s['peak_mb']:.0f} MB with the start), "
            f"{s['slope_mb_per_h']:+.1f} MB an hour"
        )

    def to_json(self, machine: dict[str, Any], command: str) -> dict[str, Any]:
        """The figures, and what they depend on."""
        return {"soak": asdict(self), "machine": machine, "command": command}


def from_json(content: Mapping[str, Any]) -> Soak:
    """The inverse of `Soak.to_json`; KeyError or TypeError if it is nothing of the kind."""
    values = content["soak"]
    samples = [Sample(**sample) for sample in values["samples"]]
    return Soak(**{**values, "samples": samples})


class Sampler(Closing):
    """Reads a process's memory from time to time while the `with` statement lasts.

    Args:
        seconds: how long it will be, for the time between two samples.
        labelled: tells the number of clouds labelled by now.
    """

    def __init__(self, pid: int, seconds: float, labelled: Any = lambda: 0) -> None:
        self.samples: list[Sample] = []
        self._pid, self._labelled = pid, labelled
        self._period_s = max(0.1, seconds / _SAMPLES)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        start = time.monotonic()
        while True:
            now = round(time.monotonic() - start, 2)
            with suppress(OSError, KeyError):  # the process has ended
                memory = memory_mb(self._pid)
                self.samples.append(Sample(now, **memory, labelled=int(self._labelled())))
            if self._stop.wait(self._period_s):
                return


def memory_mb(pid: int) -> dict[str, float]:
    """The memory of a process by the names of Sample; OSError or KeyError if it is gone."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {name: round(int(values[key].split()[0]) / 1024, 1) for key, name in _KINDS.items()}


def plot(soaks: Sequence[Soak], path: Path) -> None:
    """Draw the resident memory over time.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        KdmosError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots()
    for soak in soaks:
        minutes = [s.time_s / 60 for s in soak.samples]
        name = f"{soak.run['provider'].removesuffix('ExecutionProvider')}, {soak.run['precision']}"
        (line,) = axes.plot(minutes, [s.resident_mb for s in soak.samples], label=f"{name}: all")
        own = [s.anonymous_mb for s in soak.samples]
        axes.plot(minutes, own, ":", color=line.get_color(), label=f"{name}: without a file")
    axes.axhline(400, color="grey", linewidth=1, linestyle="--")
    axes.set_xlabel("minutes")
    axes.set_ylabel("resident memory of the node, MB")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
