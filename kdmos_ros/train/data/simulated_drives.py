"""Simulates the drives of a recipe, once, with all cores; finished drives are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdmos_ros.io.drive_file import LabelledDrive, save_drive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.progress import long_task
from kdmos_ros.sim import SweepTiming, make_drive
from kdmos_ros.sim.mounting import mounted_anyhow
from kdmos_ros.sim.sensors import find_sensor
from kdmos_ros.train.config.data_recipe import DataRecipe
from kdmos_ros.train.parallel.task_processes import in_processes


@dataclass(frozen=True)
class SimulatedDrive:
    """A drive that is simulated whenever it is read: takes no disk, and more time."""

    data: DataRecipe
    seed: int
    weight: float = 1.0

    @property
    def name(self) -> str:
        return f"drive_{self.seed:07d}"

    def sizes(self) -> list[int]:
        # How many rays return is known only once they are cast.
        sensors = map(find_sensor, self.data.sensors)
        return [max(s.columns * max(1, s.beams) for s in sensors)] * self.data.scans

    def load(self) -> LabelledDrive:
        return simulate_drive(self.data, self.seed)


def simulate_drives(data: DataRecipe, folder: Path, n: int, first_seed: int) -> list[Path]:
    """Make the drives that are not there yet; returns the paths of all n, by seed.

    Raises:
        KdmosError: a process died; the drives made so far are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"drive_{first_seed + i:07d}.npz" for i in range(n)]
    tasks = [(data, path, first_seed + i) for i, path in enumerate(paths) if not path.exists()]
    if not tasks:
        return paths
    with long_task(len(tasks), "simulate") as bar:
        in_processes(_simulate, tasks, os.cpu_count() or 1, "drives", lambda _: bar.update())
    return paths


def _simulate(data: DataRecipe, path: Path, seed: int) -> None:
    save_drive(simulate_drive(data, seed), path)


def simulate_drive(data: DataRecipe, seed: int) -> LabelledDrive:
    """One labelled drive: its sensor and its start in the scene follow from the seed."""
    rng = np.random.default_rng(seed)
    names = sorted(data.sensors)
    shares = np.array([data.sensors[name] for name in names])
    sensor = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    # Twice the rate is simulated, and of what follows the dense start, every other scan taken.
    dense, half_s = data.dense_start, 0.5 * data.spacing_s
    taken = [min(i, dense) + 2 * max(0, i - dense) for i in range(data.scans)]
    distorted = bool(rng.random() < 0.7)
    more = np.random.default_rng([seed, 1])  # so that what was drawn before stays what it was
    another = np.random.default_rng([seed, 2])
    sweep = SweepTiming(distorted)
    if distorted and more.random() < data.seams:
        drift = more.uniform(-200, 200)
        sweep = SweepTiming(distorted, more.choice([0.0, 0.5, 1.0]), drift)
    drive = make_drive(
        seed,
        sensor=mounted_anyhow(find_sensor(sensor), another, data.any_height, data.leaning),
        duration_s=(taken[-1] + 1) * half_s,
        rate_hz=1 / half_s,
        scene=_draw_scene(more, data.scenes),
        sweep=sweep,
    )
    deskewed = distorted and more.random() < data.deskewed
    scans = [
        LabelledScan(
            drive.deskewed(frame) if deskewed else frame.scan,
            frame.labels,
            frame.kind,
            f"drive_{seed:07d}/{number:06d}",
            drive.world.speed_of_instance(float(drive.times[i])).astype(np.float32)[frame.instance],
            frame.instance,
        )
        for number, (i, frame) in enumerate((i, drive[i]) for i in taken)
    ]
    return LabelledDrive(scans, np.asarray(drive.base_T_sensor, np.float64), sensor)


def _draw_scene(rng: np.random.Generator, shares: dict[str, float] | None) -> str | None:
    """A scene's name; None for the usual mix."""
    if not shares:
        return None
    names = sorted(shares)
    p = np.array([shares[name] for name in names])
    return names[int(rng.choice(len(names), p=p / p.sum()))]
