"""Endless batches from drives in random order, which can start anywhere, exactly.

The stream is a function of its seed alone. To start at batch k, the draws of the batches before
are gone through again, which takes milliseconds a drive, and only the samples that are still held
back then are computed. So a run that was killed goes on as if nothing had happened, and a
checkpoint needs to know nothing of the data but how many batches were seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from kdmos_ros.errors import KdmosError
from kdmos_ros.train.config.augment_recipe import AugmentRecipe
from kdmos_ros.train.data.augment import Step, draw, draw_later
from kdmos_ros.train.data.training_drives import TrainingDrive

MIX = 48


class Reader(Protocol):
    """Makes samples; one for a kind of network."""

    def samples(self, drive: TrainingDrive, steps: Sequence[Step]) -> Iterator[Any]:
        """One sample a scan of a drive, in time order, after the changes."""

    def collate(self, samples: list[Any]) -> Any:
        """A batch."""


@dataclasses.dataclass
class _Visit:
    """One pass over a drive; computes its samples in time order as far as they are asked for."""

    make: Callable[[], Iterator[Any]]
    _iterator: Iterator[Any] | None = None
    _made: int = 0
    _kept: dict[int, Any] = dataclasses.field(default_factory=dict)
    _skipped: set[int] = dataclasses.field(default_factory=set)

    def prepare(self, index: int) -> None:
        if self._iterator is None:
            self._iterator = self.make()
        while self._made <= index:
            sample = next(self._iterator)
            if self._made not in self._skipped:
                self._kept[self._made] = sample
            self._made += 1

    def take(self, index: int) -> Any:
        self.prepare(index)
        return self._kept.pop(index)

    def skip(self, index: int) -> None:
        self._skipped.add(index)


class DriveStream(IterableDataset[Any]):
    """Endless batches, mixed over a few drives at a time.

    Args:
        drives: where the samples come from.
        reader: makes the samples.
        batch_size: samples a batch.
        seed: decides order and augmentation; the same seed gives the same stream.
        augment: how drives are changed.
        start: number of the first batch.
        rank, ranks: this process's number and how many there are; each has its own stream.
        mix: samples held back to mix the drives; each takes about 15 MB.
        lookahead: whether scans see some of those after them, each of a number drawn for it.
    """

    def __init__(
        self,
        drives: Sequence[TrainingDrive],
        reader: Reader,
        batch_size: int,
        seed: int,
        *,
        augment: AugmentRecipe | None = None,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
        mix: int = MIX,
        lookahead: bool = False,
    ) -> None:
        self._drives = list(drives)
        self._reader = reader
        self._batch_size = batch_size
        self._seed = seed
        self._augment = augment
        self._start = start
        self._rank, self._ranks = rank, ranks
        self._mix = mix
        self._lookahead = lookahead

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        workers = 1 if info is None else info.num_workers
        if info is not None:
            torch.set_num_threads(1)
        # The loader asks worker 0 first; after k batches it is another one's turn.
        worker = 0 if info is None else (info.id + self._start) % workers
        to_skip = len(range(worker, self._start, workers))
        alone = self._ranks == 1 and workers == 1
        seed = self._seed if alone else [self._seed, self._rank + 1, worker + 1]
        return self._batches(np.random.default_rng(seed), to_skip)

    def _batches(self, rng: np.random.Generator, to_skip: int) -> Iterator[Any]:
        held: list[tuple[_Visit, int]] = []
        batch: list[tuple[_Visit, int]] = []
        for visit, index in self._endless(rng):
            if to_skip == 0:
                visit.prepare(index)
            held.append((visit, index))
            if len(held) < self._mix:
                continue
            chosen = int(rng.integers(len(held)))
            held[chosen], held[-1] = held[-1], held[chosen]
            batch.append(held.pop())
            if len(batch) < self._batch_size:
                continue
            if to_skip > 0:
                to_skip -= 1
                for skipped, i in batch:
                    skipped.skip(i)
            else:
                yield self._reader.collate([taken.take(i) for taken, i in batch])
            batch = []

    def _endless(self, rng: np.random.Generator) -> Iterator[tuple[_Visit, int]]:
        while True:
            drives = self._one_pass(rng)
            empty = bool(drives) or not self._drives
            for drive in drives:
                counts = drive.sizes()
                steps = draw(counts, rng, self._augment)
                if self._lookahead:  # draws nothing else: so streams without stay what they were
                    steps.append(draw_later(counts, rng))
                visit = self._visit(drive, steps)
                for index in range(len(counts)):
                    empty = False
                    yield visit, index
            if empty:
                raise KdmosError("there are no scans to train on")

    def _one_pass(self, rng: np.random.Generator) -> list[TrainingDrive]:
        """The drives in random order, each as often as its weight says."""
        weights = np.array([drive.weight for drive in self._drives], float)
        visits = np.floor(weights)
        if (visits != weights).any():  # draws nothing else: so older streams stay what they were
            visits += rng.random(len(weights)) < weights - visits
        order = np.repeat(np.arange(len(weights)), visits.astype(np.int64))
        return [self._drives[i] for i in order[rng.permutation(len(order))]]

    def _visit(self, drive: TrainingDrive, steps: list[Step]) -> _Visit:
        return _Visit(lambda: self._reader.samples(drive, steps))


def loader(stream: DriveStream, workers: int = 1) -> Iterator[Any]:
    """Batches made by processes beside the training.

    Raises:
        KdmosError: a process failed with one; its line alone, without where it came from.
    """
    batches = DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        pin_memory=torch.cuda.is_available(),
    )
    return _clear_errors(iter(batches))


def _clear_errors(batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except KdmosError as error:
        line = str(error).strip().splitlines()[-1]
        raise KdmosError(line.partition("Error: ")[2] or line) from None
