"""Class ids, their names and colours, and the SemanticKITTI-MOS id map.

Source: SemanticKITTI (Behley et al., ICCV 2019) and its MOS benchmark (Chen et al., RA-L 2021).
What counts in an evaluation, and why there are two rules: docs/evaluation.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UNLABELLED, STATIC, MOVABLE, MOVING = 0, 1, 2, 3
CLASS_NAMES = ("unlabelled", "static", "movable", "moving")
CLASS_COLOURS = np.array(
    [[110, 110, 110], [170, 178, 190], [70, 130, 220], [230, 40, 40]], dtype=np.uint8
)

# SemanticKITTI raw ids of traffic participants that stand still: car, bicycle, bus, motorcycle,
# on-rails, truck, other-vehicle, person, bicyclist, motorcyclist; and the MOS id 250.
_MOVABLE_IDS = (10, 11, 13, 15, 16, 18, 20, 30, 31, 32, 250)
_MOVING_IDS = range(251, 260)

_TO_SEMANTICKITTI = np.array([0, 9, 250, 251], dtype=np.uint32)


# All other ids that the benchmark's semantic-kitti-mos.yaml lists as static.
_SCENERY_IDS = (9, 40, 44, 48, 49, 50, 51, 52, 60, 70, 71, 72, 80, 81, 99)


def _lookup_table() -> npt.NDArray[np.uint8]:
    # Every id that is neither unlabelled nor a traffic participant is static scenery.
    table = np.full(1 << 16, STATIC, dtype=np.uint8)
    table[0] = UNLABELLED
    table[list(_MOVABLE_IDS)] = MOVABLE
    table[list(_MOVING_IDS)] = MOVING
    return table


def _benchmark_table() -> npt.NDArray[np.uint8]:
    table = np.full(1 << 16, UNLABELLED, dtype=np.uint8)
    known = [*_SCENERY_IDS, *_MOVABLE_IDS, *_MOVING_IDS]
    table[known] = _lookup_table()[known]
    return table


_FROM_SEMANTICKITTI = _lookup_table()
_FROM_BENCHMARK = _benchmark_table()


def from_semantickitti(raw: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Map raw SemanticKITTI labels (N,) uint32 to the four classes (N,) uint8.

    Only 0 is unlabelled. The upper 16 bits hold the instance and are ignored.
    """
    return _FROM_SEMANTICKITTI[np.asarray(raw) & 0xFFFF]


def from_benchmark(raw: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """As `from_semantickitti`, by the learning map of the MOS benchmark.

    1 (outlier) is unlabelled too, and so is every id that the benchmark does not list, but for
    250: it is not the benchmark's, but that of other MOS labels for what could move and does not.
    """
    return _FROM_BENCHMARK[np.asarray(raw) & 0xFFFF]


def instances_of(raw: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    """Ids (N,) int32 of the objects of raw labels (N,) uint32; 0 where a point has none.

    As in SemanticKITTI, an id tells objects apart together with the class id: the whole label of
    points with an instance in its upper 16 bits.
    """
    raw = np.asarray(raw, np.uint32)
    return np.where(raw >> 16 > 0, raw, np.uint32(0)).view(np.int32)


def to_semantickitti(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Map classes (N,) uint8 to SemanticKITTI-MOS ids (N,) uint32: 0, 9, 250, 251.

    Raises:
        IndexError: a class is above 3.
    """
    return _TO_SEMANTICKITTI[np.asarray(classes)]


def to_benchmark(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Map classes (N,) uint8 to what the MOS benchmark knows (N,) uint32: 9 static, 251 moving."""
    return np.where(np.asarray(classes) == MOVING, np.uint32(251), np.uint32(9))
