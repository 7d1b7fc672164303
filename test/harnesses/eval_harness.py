"""A data set of three short sequences, a stand-in for a model, and `kdmos eval` on them."""

import json

import numpy as np

from kdmos_ros import cli
from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.io.semantickitti_writer import new_sequence
from kdmos_ros.labels import MOVABLE, MOVING
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation

N_SCANS, N_POINTS = 3, 60


class ForwardSegmenter:
    """Calls everything in front of the sensor moving; stands in for a model."""

    model_name, provider = "forward", "CPUExecutionProvider"

    def __init__(self):
        self.resets, self.stamp = 0, -1
        self.spec = ModelSpec("forward", sha256={"bev.onnx": "abc"})

    def warm_up(self):
        pass

    def reset(self):
        self.resets, self.stamp = self.resets + 1, -1

    def push(self, scan):
        assert scan.stamp_ns > self.stamp, "stamps rise within a drive"
        self.stamp = scan.stamp_ns
        moving = scan.points[:, 0] > 0
        labels = np.where(moving, MOVING, MOVABLE).astype(np.uint8)
        return Segmentation(labels, moving.astype(np.float32), scan.stamp_ns, {"bev": 1.0})


def points(sequence, index):
    rng = np.random.default_rng([int(sequence), index])
    return rng.uniform(-40, 40, (N_POINTS, 3)).astype(np.float32)


def truth(sequence, index):
    raw = np.where(points(sequence, index)[:, 1] > 0, 252, 70).astype(np.uint32)
    raw[::7] = 0
    return raw


def write_data_set(root):
    for sequence in ("08", "30", "31"):
        with new_sequence(root / "sequences" / sequence) as writer:
            for i in range(N_SCANS):
                pose = from_pose([i, 0, 0], [0, 0, 0, 1])
                writer.add(Scan(points(sequence, i), None, i * 10**8, pose), truth(sequence, i))
    return root


def evaluate(tmp_path, *arguments):
    out = tmp_path / "out.json"
    assert cli.main(["eval", *map(str, arguments), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def failure(capsys, *arguments):
    try:
        status = cli.main(["eval", *map(str, arguments)])
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and len(captured.err.splitlines()) == 1
    return captured.err
