"""When each cloud of a folder was taken: from the names of its files, or a file of times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.cloud_file import stem_of
from kdmos_ros.io.trajectory_file import seconds_to_ns

Stamps = npt.NDArray[np.int64]

TIME_FILES = ("times.txt", "timestamps.txt")
_SECOND_NS = 1_000_000_000
# Sweeps are this far apart; names that count something else are not.
_NEAREST_S, _FARTHEST_S = 0.02, 2.0
# Shorter integers are numbers of scans.
_DIGITS = 10


def stamps_of_names(files: Sequence[Path]) -> Stamps | None:
    """Stamps (S,) in ns that the names of files tell; None: they only count.

    Known are seconds with a fraction, seconds_nanoseconds, and integers of s, ms, us or ns whose
    steps are those of sweeps.
    """
    stems = [stem_of(file) for file in files]
    pairs = [re.search(r"(\d{9,10})[_-](\d{9})$", stem) for stem in stems]
    if all(pairs):
        return np.array([int(p[1]) * _SECOND_NS + int(p[2]) for p in pairs if p], np.int64)
    numbers = [re.search(r"\d+(\.\d+)?$", stem) for stem in stems]
    words = [found[0] for found in numbers if found]
    if len(words) < len(files) or len(files) < 2:
        return None
    if all("." in word for word in words):
        return np.array([seconds_to_ns(word) for word in words], np.int64)
    if any("." in word or word.startswith("0") or len(word) < _DIGITS for word in words):
        return None
    counts = np.array([int(word) for word in words], object)
    steps = np.diff(np.sort(counts)).astype(np.float64)
    usual = float(np.median(steps))
    for factor in (_SECOND_NS, 1_000_000, 1000, 1):
        if _NEAREST_S <= usual * factor / _SECOND_NS <= _FARTHEST_S:
            return np.array([int(c) * factor for c in counts], np.int64)
    return None


def read_times(path: Path) -> Stamps:
    """Stamps (S,) in ns of a file with a time a line: seconds, or date and time of day.

    Raises:
        KdmosError: a line is neither, or not after the one before.
    """
    stamps = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            stamps.append(_time_of(line.strip()))
        except (ValueError, ArithmeticError) as error:
            raise KdmosError(f"{path}, line {number}: no time: {line.strip()!r}") from error
    found = np.array(stamps, np.int64)
    late = np.flatnonzero(np.diff(found) <= 0)
    if len(late):
        raise KdmosError(f"{path}: time {late[0] + 2} is not after the one before")
    return found


def _time_of(text: str) -> int:
    if re.match(r"\d{4}-\d\d-\d\d[ T]", text):
        return int(np.datetime64(text.replace(" ", "T"), "ns").astype(np.int64))
    return seconds_to_ns(text)
