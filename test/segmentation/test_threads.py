"""`num_threads` is a promise to the rest of the robot. For ONNX Runtime see test_providers.py."""

import threading

import numpy as np
import pytest

from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmenter

pytest.importorskip("torch", reason="a tiny model is exported with torch")


@pytest.mark.parametrize("asked", [1, 3])
def test_features_use_no_more_threads_than_asked_for(tiny_model, asked):
    before = set(threading.enumerate())
    segmenter = Segmenter(tiny_model, provider="cpu", num_threads=asked)
    points = np.random.default_rng(0).uniform(-30, 30, (60_000, 3)).astype(np.float32)
    for i in range(4):
        segmenter.push(Scan(points, None, i * 400_000_000, np.eye(4)))
    added = set(threading.enumerate()) - before
    assert len(added) == (0 if asked == 1 else asked), "one thread is the caller's own"
