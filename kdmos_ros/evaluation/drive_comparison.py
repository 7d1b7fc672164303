"""Simulated against real drives: one table and one picture of the same statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.evaluation.drive_counts import Curve

Values = npt.NDArray[np.float64]


def table(simulated: Sequence[Sequence[Curve]], real: Mapping[str, Sequence[Curve]]) -> str:
    """Markdown: a row for each figure and band.

    Args:
        simulated: curves of each simulated drive.
        real: curves of each real one, by name.

    Columns: median, lowest and highest of the simulated drives, and each real drive, in bold where
    it is outside of what the simulated ones span.
    """
    names = list(real)
    lines = [
        f"| | | simulated | lowest to highest | {' | '.join(names)} |",
        f"|---|---|---|---|{'---|' * len(names)}",
    ]
    for i, curve in enumerate(simulated[0]):
        low, middle, high = spans([drive[i].values for drive in simulated])
        for band, label in enumerate(curve.bands):
            cells = [curve.title if band == 0 else "", label]
            cells += [show(middle[band]), f"{show(low[band])} to {show(high[band])}"]
            for name in names:
                value = real[name][i].values[band]
                outside = value < low[band] or value > high[band]
                cells.append(f"**{show(value)}**" if outside else show(value))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def outside_share(
    simulated: Sequence[Sequence[Curve]], real: Sequence[Curve]
) -> tuple[int, int, list[str]]:
    """How many figures of a real drive are outside, of how many, and which curves have any."""
    outside = total = 0
    titles = []
    for i, curve in enumerate(real):
        low, _, high = spans([drive[i].values for drive in simulated])
        known = np.isfinite(curve.values) & np.isfinite(low)
        out = known & ((curve.values < low) | (curve.values > high))
        outside, total = outside + int(out.sum()), total + int(known.sum())
        titles += [curve.title] if out.any() else []
    return outside, total, titles


def spans(values: Sequence[Values]) -> tuple[Values, Values, Values]:
    """Lowest, median and highest of several drives by band; NaN where none has data."""
    rows = np.array(values, np.float64)
    empty = np.isnan(rows).all(axis=0)
    filled = np.where(empty, 0.0, rows)
    result = [f(filled, axis=0) for f in (np.nanmin, np.nanmedian, np.nanmax)]
    low, middle, high = (np.where(empty, np.nan, r) for r in result)
    return low, middle, high


def show(value: float) -> str:
    """A number to about three digits."""
    if np.isnan(value):
        return "n/a"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def picture(
    simulated: Sequence[Sequence[Curve]], real: Mapping[str, Sequence[Curve]], path: Path
) -> None:
    """Draw every curve: simulated as a band with its median, real ones as lines."""
    from matplotlib.figure import Figure

    count = len(simulated[0])
    columns = 4
    rows = -(-count // columns)
    figure = Figure(figsize=(4.4 * columns, 3.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, curve in enumerate(simulated[0]):
        _panel(
            panels[i], curve, [d[i].values for d in simulated], {n: c[i] for n, c in real.items()}
        )
    for axes in panels[count:]:
        axes.set_axis_off()
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=80)


def _panel(axes: Any, curve: Curve, simulated: list[Values], real: Mapping[str, Curve]) -> None:
    x = np.arange(len(curve.bands))
    low, middle, high = spans(simulated)
    axes.fill_between(x, low, high, color="#9db7d5", alpha=0.6, lw=0, label="simulated, all")
    axes.plot(x, middle, color="#2c5d94", lw=2, label="simulated, median")
    for (name, line), style in zip(real.items(), "oSDv^<>P".lower() * 4, strict=False):
        axes.plot(x, line.values, marker=style, ms=4, lw=1.2, label=name)
    axes.set_title(curve.title, fontsize=10)
    axes.set_xticks(x, curve.bands, rotation=30, ha="right", fontsize=7)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=0)
