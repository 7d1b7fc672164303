"""The labels of a recording as a folder of parts: what is done stays done, whatever happens.

A part holds the labels of `CLOUDS` consecutive clouds and appears whole or not at all, so that a
run that is stopped, even by a crash, loses at most the part in work. Parts may be made in any order
and by several processes.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation

CLOUDS = 50
"""Clouds of a part."""
_MADE_BY = "made_by.json"
_STEPS = np.float32(255)  # of the probabilities as stored


@dataclass(frozen=True)
class LabelParts:
    """A folder of parts.

    Attributes:
        path: of the folder.
        n_clouds: clouds of the recording, those included that cannot be labelled.
    """

    path: Path
    n_clouds: int

    def begin(self, made_by: Mapping[str, Any]) -> None:
        """Make the folder, or go on with one whose content depends on the same.

        Raises:
            KdmosError: it was begun otherwise, or cannot be read or written.
        """
        wanted = json.loads(json.dumps(made_by))
        path = self.path / _MADE_BY
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                with new_file(path) as scratch:
                    scratch.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise KdmosError(f"cannot write {self.path}: {error.strerror}") from error
        except ValueError as error:
            raise KdmosError(f"{path}: cannot be read; remove the folder, start again") from error
        for name in sorted({*found, *wanted}):
            if found.get(name) != wanted.get(name):
                raise KdmosError(
                    f"cannot continue {self.path}: it was started with {name} {found.get(name)}, "
                    f"not {wanted.get(name)}"
                )

    def __len__(self) -> int:
        """How many parts there are when all is done."""
        return -(-self.n_clouds // CLOUDS)

    def clouds(self, part: int) -> range:
        """Indices of the clouds of a part."""
        return range(part * CLOUDS, min((part + 1) * CLOUDS, self.n_clouds))

    def part_of(self, cloud: int) -> int:
        """The part that a cloud belongs to."""
        return cloud // CLOUDS

    def missing(self, among: range) -> list[range]:
        """Parts that are not there, as runs of parts that follow each other."""
        runs: list[range] = []
        for part in among:
            if self._file(part).exists():
                continue
            if runs and runs[-1].stop == part:
                runs[-1] = range(runs[-1].start, part + 1)
            else:
                runs.append(range(part, part + 1))
        return runs

    def write(self, part: int, found: Sequence[Segmentation]) -> None:
        """Write the labels of the clouds of a part; those that could not be labelled left out."""
        labels = [f.labels for f in found]
        probability = [f.moving_probability for f in found]
        steps = np.rint(np.concatenate([np.empty(0, np.float32), *probability]) * _STEPS)
        with new_file(self._file(part)) as scratch, scratch.open("wb") as file:
            np.savez_compressed(
                file,
                stamp_ns=np.array([f.stamp_ns for f in found], np.int64),
                count=np.array([len(one) for one in labels], np.int64),
                labels=np.concatenate([np.empty(0, np.uint8), *labels]),
                probability=steps.astype(np.uint8),
            )

    def __iter__(self) -> Iterator[Segmentation]:
        """All labels, in order; KdmosError if a part is missing or damaged."""
        for part in range(len(self)):
            yield from self._read(part)

    def remove(self) -> None:
        """The parts are of no use any more."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, part: int) -> Path:
        return self.path / f"{part:06d}.npz"

    def _read(self, part: int) -> Iterator[Segmentation]:
        path = self._file(part)
        try:
            with np.load(path, allow_pickle=False) as stored:
                content = {name: stored[name] for name in stored.files}
            ends = np.cumsum(content["count"])
            stamps, labels, steps = (content[k] for k in ("stamp_ns", "labels", "probability"))
        except (OSError, ValueError, MemoryError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise KdmosError(f"{path}: unreadable; remove it and continue with --resume") from error
        for stamp_ns, start, end in zip(stamps, ends - content["count"], ends, strict=True):
            probability: npt.NDArray[np.float32] = steps[start:end].astype(np.float32) / _STEPS
            yield Segmentation(labels[start:end], probability, int(stamp_ns), {})


class StoredLabels:
    """A ScanSegmenter that knows the answers.

    Args:
        parts: complete, of the recording whose scans are pushed in their order; some may be left
            out.
    """

    def __init__(self, parts: LabelParts) -> None:
        self._path = parts.path
        self._answers = iter(parts)

    def push(self, scan: Scan) -> Future[Segmentation]:
        """See ScanSegmenter."""
        for answer in self._answers:
            if answer.stamp_ns == scan.stamp_ns and len(answer.labels) == len(scan.points):
                future: Future[Segmentation] = Future()
                future.set_result(answer)
                return future
        raise KdmosError(
            f"{self._path} has no labels of the scan at {scan.stamp_ns} ns: it is of another "
            "recording; remove it and start again"
        )

    def flush(self) -> None:
        """See ScanSegmenter: nothing waits."""

    def reset(self) -> None:
        """See ScanSegmenter: the answers know what was before."""
