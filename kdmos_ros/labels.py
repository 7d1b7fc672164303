"""Class ids, their names and colours, and the SemanticKITTI-MOS id map.

Source: SemanticKITTI (Behley et al., ICCV 2019) and its MOS benchmark (Chen et al., RA-L 2021).
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


def _lookup_table() -> npt.NDArray[np.uint8]:
    # Every id that is neither unlabelled nor a traffic participant is static scenery.
    table = np.full(1 << 16, STATIC, dtype=np.uint8)
    table[0] = UNLABELLED
    table[list(_MOVABLE_IDS)] = MOVABLE
    table[list(_MOVING_IDS)] = MOVING
    return table


_FROM_SEMANTICKITTI = _lookup_table()


def from_semantickitti(raw: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Map raw SemanticKITTI labels (N,) uint32 to the four classes (N,) uint8.

    The upper 16 bits hold the instance and are ignored.
    """
    return _FROM_SEMANTICKITTI[np.asarray(raw) & 0xFFFF]


def to_semantickitti(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Map classes (N,) uint8 to SemanticKITTI-MOS ids (N,) uint32: 0, 9, 250, 251.

    Raises:
        IndexError: a class is above 3.
    """
    return _TO_SEMANTICKITTI[np.asarray(classes)]


def to_benchmark(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Map classes (N,) uint8 to what the MOS benchmark knows (N,) uint32: 9 static, 251 moving."""
    return np.where(np.asarray(classes) == MOVING, np.uint32(251), np.uint32(9))
