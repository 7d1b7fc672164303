"""Figures by range, kind and speed, and the benchmark's classes behind them."""

import json

import numpy as np

from kdmos_ros.evaluation.breakdown import RANGE_EDGES_M, SPEED_EDGES_MPS, Breakdown
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED, from_benchmark, to_benchmark
from kdmos_ros.sim import Kind


def test_breakdown_by_hand():
    parts = Breakdown()
    xyz = np.array([[5, 0, 9], [0, 20, 0], [30, 30, 0], [60, 0, 0], [np.nan] * 3, [1, 1, 1]])
    classes = np.uint8([MOVING, MOVING, STATIC, STATIC, UNLABELLED, MOVABLE])
    called = np.uint8([MOVING, STATIC, MOVING, STATIC, UNLABELLED, STATIC])
    kind = np.uint8([Kind.CAR, Kind.PEDESTRIAN, Kind.WALL, 0, 0, Kind.CAR])
    speed = np.float32([5, 1.5, 0, 0, 0, 0])
    parts.add("a", xyz.astype(np.float32), classes, called, kind, speed)
    assert [(c.tp, c.fp, c.fn, c.tn) for c in parts.by_range] == [
        (1, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 1),
    ]  # fmt: skip
    assert parts.by_kind[Kind.CAR].recall == 1 and parts.by_kind[Kind.PEDESTRIAN].recall == 0
    assert parts.by_kind[Kind.WALL].false_positive_share == 1 and 0 not in parts.by_kind
    assert [c.tp + c.fn for c in parts.by_speed] == [0, 1, 0, 1, 0, 0]
    assert len(RANGE_EDGES_M) == 4 and len(SPEED_EDGES_MPS) == 6
    assert (parts.worst.name, parts.worst.errors) == ("a", 2)
    json.dumps(parts.to_dict())


def test_the_worst_scan_is_one_with_a_history():
    parts = Breakdown()
    xyz, kind = np.ones((3, 3), np.float32), np.zeros(3, np.uint8)
    moving, static = np.full(3, MOVING, np.uint8), np.full(3, STATIC, np.uint8)
    parts.add("start", xyz, moving, static, kind)
    parts.add("later", xyz, moving, np.uint8([MOVING, MOVING, STATIC]), kind)
    parts.add("good", xyz, moving, moving, kind)
    assert parts.worst.name == "later"


def test_the_learning_map_of_the_benchmark():
    """semantic-kitti-mos.yaml: 0 and 1 are unlabelled, 9..99 static, 251..259 moving."""
    listed = [9, 10, 11, 13, 15, 16, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 52, 60, 70, 71, 72,
              80, 81, 99]  # fmt: skip
    classes = from_benchmark(np.arange(1 << 16, dtype=np.uint32))
    moving, counts = classes == MOVING, classes != UNLABELLED
    assert np.flatnonzero(moving).tolist() == [*range(251, 260)]
    assert np.flatnonzero(counts & ~moving).tolist() == [*listed, 250]
    assert from_benchmark(np.uint32([252 | 7 << 16, 1 | 9 << 16])).tolist() == [MOVING, UNLABELLED]


def test_benchmark_ids():
    assert to_benchmark(np.uint8([0, 1, 2, 3])).tolist() == [9, 9, 9, 251]
