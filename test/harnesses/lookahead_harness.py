"""Streams in which something comes and goes, and a model that knows later scans."""

import dataclasses

import numpy as np

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmenter

MOUNT = make_transform(np.eye(3), [0, 0, 1.7])
PAST = FeatureSpec(visibility=VisibilitySpec(lags_s=(0.2, 0.4)), vacated=True)
BOTH = dataclasses.replace(
    PAST, visibility=VisibilitySpec(lags_s=(0.2, 0.4), future_lags_s=(0.2, 0.4))
)
GRID = PolarGrid(n_rho=48, n_phi=40, n_z=12)
STEP_NS = 200_000_000


def wall(distance, n=3000, seed=0):
    rng = np.random.default_rng(seed)
    phi, z = rng.uniform(-0.5, 0.5, n), distance * rng.uniform(-0.07, 0.05, n)
    return np.column_stack([distance * np.cos(phi), distance * np.sin(phi), z]).astype(np.float32)


def scan(index, points):
    pose = make_transform(np.eye(3), [0.3 * index, 0, 0])
    return Scan(points, None, index * STEP_NS, pose)


def stream(n):
    """Walls, and something that stands before them in some scans."""
    scans = []
    for i in range(n):
        points = wall(20.0, seed=i)
        if i % 3 == 1:
            points = np.concatenate([points, wall(8.0, 500, seed=100 + i)])
        scans.append(scan(i, points))
    return scans


def columns(spec):
    """Names of the point columns."""
    lags = [f"past {s}" for s in spec.visibility.lags_s]
    lags += [f"later {s}" for s in spec.visibility.future_lags_s]
    names = []
    for name in spec.point:
        seen = [f"{kind} {lag}" for kind in ("near", "far") for lag in lags]
        names += seen if name == "visibility" else [name]
    return names


class Fails(Segmenter):
    """Breaks on one scan."""

    def push(self, scan, later=(), view=None):
        if scan.stamp_ns == 2 * STEP_NS:
            raise RuntimeError("out of memory")
        return super().push(scan, later, view)
