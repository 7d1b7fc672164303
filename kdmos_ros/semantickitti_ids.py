"""Object kinds in SemanticKITTI's ids: one vocabulary for simulated and recorded labels.

Ids: semantic-kitti.yaml of the SemanticKITTI API (Behley et al., ICCV 2019). The ids of the MOS
benchmark alone (9, 250, 251) say whether a point moves, not what it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.object_kinds import Kind

UNKNOWN_KIND = int(Kind.NOISE)

# Kind: (id at rest, id in motion). SemanticKITTI counts vans with a closed body as cars, and a
# bicycle in motion as its rider.
_IDS = {
    Kind.ROAD: (40, 40),
    Kind.PAVEMENT: (48, 48),
    Kind.TERRAIN: (72, 72),
    Kind.BUILDING: (50, 50),
    Kind.WALL: (52, 52),
    Kind.FENCE: (51, 51),
    Kind.POLE: (80, 80),
    Kind.SIGN: (81, 81),
    Kind.TRUNK: (71, 71),
    Kind.VEGETATION: (70, 70),
    Kind.OBJECT: (99, 99),
    Kind.VAN: (10, 252),
    Kind.CAR: (10, 252),
    Kind.TRUCK: (18, 258),
    Kind.BUS: (13, 257),
    Kind.MOTORCYCLE: (15, 255),
    Kind.BICYCLE: (11, 253),
    Kind.PEDESTRIAN: (30, 254),
}
# Ids that no kind is written as: parking, other ground, lane markings; riders at rest;
# on-rails and other vehicles, which are as large as trucks.
_READ_AS = {
    44: Kind.ROAD,
    60: Kind.ROAD,
    49: Kind.TERRAIN,
    31: Kind.BICYCLE,
    32: Kind.MOTORCYCLE,
    16: Kind.TRUCK,
    256: Kind.TRUCK,
    20: Kind.TRUCK,
    259: Kind.TRUCK,
}


def _table() -> npt.NDArray[np.uint8]:
    table = np.full(1 << 16, UNKNOWN_KIND, np.uint8)
    for kind, ids in _IDS.items():
        table[list(ids)] = kind
    for number, kind in _READ_AS.items():
        table[number] = kind
    return table


_FROM_SEMANTICKITTI = _table()


def kinds_of(raw: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Kinds (N,) uint8 of raw labels (N,) uint32; UNKNOWN_KIND where the id tells none."""
    return _FROM_SEMANTICKITTI[np.asarray(raw) & 0xFFFF]


def semantic_ids(
    classes: npt.NDArray[np.uint8], kind: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint32]:
    """SemanticKITTI ids (N,) uint32 of classes (N,) and kinds (N,), both uint8.

    They read back as the same classes, and as the same kinds but for vans, which become cars.
    """
    table = np.zeros((256, 2), np.uint32)
    table[:] = (9, 251)
    for known, ids in _IDS.items():
        table[known] = ids
    ids = table[kind, (np.asarray(classes) == MOVING).astype(np.intp)]
    return np.where(np.asarray(classes) == UNLABELLED, np.uint32(0), ids)


def kind_name(kind: int) -> str:
    """Name of a kind, lower case."""
    return "unknown" if kind == UNKNOWN_KIND else Kind(kind).name.lower()
