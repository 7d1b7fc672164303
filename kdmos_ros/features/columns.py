"""Names of the columns of the feature tensors, so that networks of different features compare."""

from __future__ import annotations

from itertools import pairwise, product

from kdmos_ros.features.spec import VISIBILITY_FEATURE, FeatureSpec
from kdmos_ros.features.visibility import KNOWN_STATES


def point_columns(spec: FeatureSpec) -> list[str]:
    """What each column of FeatureFrame.point is, such as "height" or "near past 0.2"."""
    names: list[str] = []
    for name in spec.point:
        seen = [f"{what} {lag}" for what, lag in product(("near", "far"), _lags(spec))]
        names += seen if name == VISIBILITY_FEATURE else [name]
    return names


def motion_columns(spec: FeatureSpec) -> list[str]:
    """What each channel of FeatureFrame.motion is, such as "0.1-0.4 past 0.2 hidden"."""
    slabs = [f"{low:g}-{high:g}" for low, high in pairwise(spec.slabs_m)]
    past = [f"past {lag:g}" for lag in spec.visibility.lags_s]
    names: list[str] = []
    if spec.visibility_map:
        names += [" ".join(parts) for parts in product(slabs, _lags(spec), KNOWN_STATES)]
    if spec.vacated:
        names += [f"{slab} {lag} vacated" for lag, slab in product(past, slabs)]
    if spec.height_residuals:
        names += [f"{lag} {what}" for lag, what in product(past, ("arrived", "left"))]
    return names or ["nothing"]


def _lags(spec: FeatureSpec) -> list[str]:
    past = [f"past {lag:g}" for lag in spec.visibility.lags_s]
    return past + [f"later {lag:g}" for lag in spec.visibility.future_lags_s]
