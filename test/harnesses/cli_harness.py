"""The kdmos command on a small labelled drive, with a stand-in for a model."""

import numpy as np
import pytest
from drive_harness import points, write_drive

from kdmos_ros import cli
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.labels import MOVING, STATIC
from kdmos_ros.segmentation.segmenter import Segmentation

N_SCANS, N_POINTS = 4, 50


class ForwardSegmenter:
    """Calls everything in front of the sensor moving; stands in for a model."""

    model_name, provider = "forward", "CPUExecutionProvider"
    spec = ModelSpec("forward")

    def warm_up(self):
        pass

    def reset(self):
        pass

    def push(self, scan):
        moving = scan.points[:, 0] > 0
        labels = np.where(moving, MOVING, STATIC).astype(np.uint8)
        return Segmentation(labels, moving.astype(np.float32), scan.stamp_ns, {"bev": 1.0})


@pytest.fixture
def drive(tmp_path):
    """(bag, labels): the upper half moves."""
    bag = write_drive(tmp_path / "bag", N_SCANS, N_POINTS)
    labels = tmp_path / "labels"
    labels.mkdir()
    for i in range(N_SCANS):
        truth = np.where(points(i, N_POINTS)[:, 2] > 0, 251, 9).astype("<u4")
        truth[::10] = 0
        truth.tofile(labels / f"{i:06d}.label")
    return bag, labels


def failure(capsys, *arguments) -> str:
    """Run a command that must fail; its one line."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as error:  # argparse
        status = error.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("kdmos: error: "), captured.err
    return lines[0]
