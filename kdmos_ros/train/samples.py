"""Training samples: feature frames with labels, streamed from drives by the node's own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from kdmos_ros.features import FeatureExtractor, FeatureFrame, FeatureSpec
from kdmos_ros.grid import PolarGrid
from kdmos_ros.train.augment import augment
from kdmos_ros.train.drive_file import load_drive


@dataclass(frozen=True)
class Sample:
    """One scan: its frame, and for the P points in the grid the class and kind, (P,) uint8."""

    frame: FeatureFrame
    labels: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """Samples as tensors for `Student.forward`; cells of sample b start at b * n_cells."""

    point: Tensor
    cell: Tensor
    z_bin: Tensor
    motion: Tensor
    labels: Tensor

    @staticmethod
    def of(samples: list[Sample]) -> Batch:
        """Join samples of the same grid."""
        cells = [
            torch.from_numpy(s.frame.cell.astype(np.int64)) + b * len(s.frame.motion)
            for b, s in enumerate(samples)
        ]
        z_bins = np.concatenate([s.frame.z_bin for s in samples]).astype(np.int64)
        return Batch(
            point=torch.from_numpy(np.concatenate([s.frame.point for s in samples])),
            cell=torch.cat(cells),
            z_bin=torch.from_numpy(z_bins),
            motion=torch.from_numpy(np.stack([s.frame.motion for s in samples])),
            labels=torch.from_numpy(np.concatenate([s.labels for s in samples]).astype(np.int64)),
        )


def drive_samples(
    path: Path,
    grid: PolarGrid,
    features: FeatureSpec,
    rng: np.random.Generator | None = None,
) -> Iterator[Sample]:
    """Samples of one drive in time order; augmented if a generator is given.

    The first scans have a short or no history, as after the start of the node.
    """
    drive = load_drive(path)
    if rng is not None:
        drive = augment(drive, rng)
    extractor = FeatureExtractor(grid, features, drive.base_T_sensor)
    for labelled in drive.scans:
        frame = extractor.push(labelled.scan)
        yield Sample(frame, labelled.labels[frame.index], labelled.kind[frame.index])


class DriveSamples(IterableDataset[Batch]):
    """Endless batches from drives in random order, mixed over a few drives at a time.

    Args:
        paths: drive files.
        grid, features: the model's input definition.
        batch_size: samples a batch.
        seed: decides order and augmentation; the same seed gives the same stream.
        mix: samples held back to mix the drives; each takes about 15 MB.
    """

    def __init__(
        self,
        paths: list[Path],
        grid: PolarGrid,
        features: FeatureSpec,
        batch_size: int,
        seed: int,
        mix: int = 48,
    ) -> None:
        self._paths = paths
        self._grid = grid
        self._features = features
        self._batch_size = batch_size
        self._seed = seed
        self._mix = mix

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        rng = np.random.default_rng(self._seed)
        held: list[Sample] = []
        batch: list[Sample] = []
        for sample in self._endless(rng):
            held.append(sample)
            if len(held) < self._mix:
                continue
            chosen = int(rng.integers(len(held)))
            held[chosen], held[-1] = held[-1], held[chosen]
            batch.append(held.pop())
            if len(batch) == self._batch_size:
                yield Batch.of(batch)
                batch = []

    def _endless(self, rng: np.random.Generator) -> Iterator[Sample]:
        while True:
            for i in rng.permutation(len(self._paths)):
                yield from drive_samples(self._paths[i], self._grid, self._features, rng)


def loader(dataset: DriveSamples) -> DataLoader[Batch]:
    """Batches made by one process beside the training."""
    return DataLoader(dataset, batch_size=None, num_workers=1, prefetch_factor=4)
