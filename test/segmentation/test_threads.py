"""`num_threads` is a promise to the rest of the robot. For ONNX Runtime see test_providers.py."""

import os
import threading

import numpy as np
import pytest

from kdmos_ros.features.extractor import FeatureExtractor
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmenter

pytest.importorskip("torch", reason="a tiny model is exported with torch")
MOUNT = make_transform(np.eye(3), [0, 0, 1.7])


def scans(n=4):
    points = np.random.default_rng(0).uniform(-30, 30, (60_000, 3)).astype(np.float32)
    return [Scan(points, None, i * 400_000_000, np.eye(4)) for i in range(n)]


@pytest.mark.parametrize("asked", [1, 3])
def test_features_use_no_more_threads_than_asked_for(tiny_model, asked):
    before = set(threading.enumerate())
    segmenter = Segmenter(tiny_model, provider="cpu", num_threads=asked)
    for scan in scans():
        segmenter.push(scan)
    added = set(threading.enumerate()) - before
    assert len(added) == (0 if asked == 1 else asked), "one thread is the caller's own"


def test_zero_threads_are_as_many_as_the_cores_that_may_be_used(monkeypatch, tiny_model):
    """Not the two of a default, and not all of a machine that lends out some."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5, 7})
    before = set(threading.enumerate())
    segmenter = Segmenter(tiny_model, provider="cpu", num_threads=0)
    for scan in scans():
        segmenter.push(scan)
    assert len(set(threading.enumerate()) - before) == 5


def test_features_do_not_depend_on_the_number_of_threads():
    found = []
    for threads in (1, 2, 5):
        extractor = FeatureExtractor(PolarGrid(), FeatureSpec(), MOUNT, threads)
        found.append([extractor.push(scan, {}) for scan in scans()][-1])
    for other in found[1:]:
        for name in ("point", "motion", "cell", "occupied", "index"):
            np.testing.assert_array_equal(getattr(other, name), getattr(found[0], name), name)
