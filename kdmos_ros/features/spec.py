"""What a model reads, as plain data: which columns the feature tensors have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kdmos_ros.features.height_residual import N_RESIDUALS
from kdmos_ros.features.kernels import FAR, GEOMETRIC_FEATURES, NEAR
from kdmos_ros.features.visibility import N_KNOWN_STATES, VisibilitySpec

VISIBILITY_FEATURE = "visibility"
# And the values that change nothing.
_LATER_OPTIONS = {"height_residuals": False, "visibility_map": True, "ground_aligned": False}


@dataclass(frozen=True)
class FeatureSpec:
    """What the student reads.

    Attributes:
        point: names out of GEOMETRIC_FEATURES, in order; "visibility" adds two columns a lag.
        visibility: the scans to compare with.
        slabs_m: edges of the height slabs of the motion map, metres above the local ground.
        vacated: whether the motion map also has the share of past voxels that are seen through
            now, for each slab and lag (see `vacated`).
        height_residuals: whether it has the height residuals of each lag (see `height_residual`).
        visibility_map: whether it has the shares of the see-through states.
        ground_aligned: whether past scans are put onto the newest one's ground (see
            `ground_alignment`) before they are compared with it.
    """

    point: tuple[str, ...] = ("d_rho", "d_phi", "d_z", "rho", "height", "visibility")
    visibility: VisibilitySpec = field(default_factory=VisibilitySpec)
    slabs_m: tuple[float, ...] = (0.1, 0.4, 1.2, 3.5)
    vacated: bool = False
    height_residuals: bool = False
    visibility_map: bool = True
    ground_aligned: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.point) - set(GEOMETRIC_FEATURES) - {VISIBILITY_FEATURE}
        if unknown or not self.point or len(set(self.point)) != len(self.point):
            raise ValueError(f"features: unknown, repeated or no names in {self.point}")
        if len(self.slabs_m) < 2 or list(self.slabs_m) != sorted(set(self.slabs_m)):
            raise ValueError(f"features: slabs_m must rise, got {self.slabs_m}")

    @property
    def n_point(self) -> int:
        """Columns of the point features."""
        extra = 2 * self.visibility.n_lags - 1 if VISIBILITY_FEATURE in self.point else 0
        return len(self.point) + extra

    @property
    def n_motion(self) -> int:
        """Channels of the motion map: states, vacated, heights. One of zeros if it has none."""
        return max(1, self.n_states + self.n_vacated + self.n_heights)

    @property
    def n_states(self) -> int:
        """Channels for the shares of the see-through states, by slab, lag and state."""
        shares = N_KNOWN_STATES * self.visibility.n_lags if self.visibility_map else 0
        return (len(self.slabs_m) - 1) * shares

    @property
    def n_vacated(self) -> int:
        """Channels for vacated space, by lag and slab."""
        return (len(self.slabs_m) - 1) * len(self.visibility.lags_s) if self.vacated else 0

    @property
    def n_heights(self) -> int:
        """Channels for height residuals, by lag: arrived and left, metres."""
        return N_RESIDUALS * len(self.visibility.lags_s) if self.height_residuals else 0


def without_unused(content: dict[str, Any]) -> dict[str, Any]:
    """Content with features as plain values; without the later options where they are not used.

    So the files and hashes of models without an option are what they were before there was any.
    """
    features = content["features"]
    for name in ("future_lags_s", "pool_rows"):
        if not features["visibility"][name]:
            del features["visibility"][name]
    for name, unused in _LATER_OPTIONS.items():
        if features[name] == unused:
            del features[name]
    return content


def column_codes(spec: FeatureSpec) -> npt.NDArray[np.int64]:
    """(F, 2) int64: the code of each column, and its lag."""
    codes: list[tuple[int, int]] = []
    for name in spec.point:
        if name == VISIBILITY_FEATURE:
            lags = range(spec.visibility.n_lags)
            codes += [(NEAR, lag) for lag in lags] + [(FAR, lag) for lag in lags]
        else:
            codes.append((GEOMETRIC_FEATURES.index(name), 0))
    return np.array(codes, np.int64)
