"""A full disk ends every writer with one line that says so, and leaves nothing half done."""

import numpy as np
import pytest
from cli_harness import failure
from drive_harness import write_drive
from fault_harness import one_line, small_disk, tell
from label_harness import label, write_interrupted_bag

pytest.importorskip("rosbags", reason="rosbags is not installed")

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.point_file import write_points
from kdmos_ros.labelling import job
from kdmos_ros.labelling.job import Target
from kdmos_ros.labelling.sinks import MapStyle

pytestmark = pytest.mark.slow


def bag(folder, _):
    write_drive(folder / "out", 400, 500)


def points(folder, _):
    xyz = np.zeros((200_000, 3), np.float32)
    with new_file(folder / "map.ply") as part:
        write_points(part, xyz, None)


def labelling(kind, name):
    def run(folder, recording):
        label(recording, Target(folder / name, kind, map_style=MapStyle(0.01)))

    run.__name__ = f"labelling_{kind}"
    return run


WRITERS = [
    bag, points, labelling(job.BAG, "out"), labelling(job.WITHOUT_MOVING, "out"),
    labelling(job.LABEL_FILES, "labels"), labelling(job.MAP, "map.pcd"),
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("size_kib", [4, 12])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, write, size_kib):
    recording = write_interrupted_bag(tmp_path)
    with small_disk(tmp_path / "disk", size_kib) as disk:
        with pytest.raises((KdmosError, OSError)) as caught:
            write(disk, recording)
        text = one_line(caught.value)
        assert "No space left" in text or "space" in text, text
        assert not [path.name for path in disk.iterdir()], text
    tell(f"disk full: {write.__name__}, {size_kib} KiB", 1, "the output, said in one line")


def simulated(bag, model, disk):
    return "simulate", disk / "drive", "--duration", 1, "--sensor", "vlp16"


def scored(bag, model, disk):
    return "eval", bag[0], "--labels", bag[1], "--model", model, "--json", disk / "figures.json"


def drawn(bag, model, disk):
    return "view", bag[0], "--model", model, "--out", disk / "picture.png"


def exported(bag, model, disk):
    return "onnx", model, model, disk / "model"


@pytest.mark.parametrize("command", [simulated, scored, drawn, exported])
def test_a_disk_that_is_full_before_a_command_writes(tmp_path, drive, tiny_model, command, capsys):
    with small_disk(tmp_path / "disk", 4) as disk:
        (disk / "other").write_bytes(bytes(4096))
        text = failure(capsys, *command(drive, tiny_model, disk))
        assert "space" in text.lower(), text
        assert [path.name for path in disk.iterdir()] == ["other"]
    tell(
        f"disk full: kdmos {command(drive, tiny_model, disk)[0]}", 1, "the output, said in one line"
    )
