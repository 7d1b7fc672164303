"""SemanticKITTI folders."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose, invert
from kdmos_ros.io.semantickitti import LabelFolder, Sequence
from kdmos_ros.io.semantickitti_writer import new_predictions, new_sequence
from kdmos_ros.scan import Scan


def scan(index: int, n: int = 20) -> Scan:
    rng = np.random.default_rng(index)
    pose = from_pose([index, 0.1 * index, 0], [0, 0, np.sin(0.1 * index), np.cos(0.1 * index)])
    return Scan(
        rng.normal(size=(n, 3)).astype(np.float32),
        rng.uniform(size=n).astype(np.float32),
        index * 100_000_000,
        pose,
    )


def labels(index: int, n: int = 20) -> np.ndarray:
    return (np.arange(n) + (index << 16)).astype(np.uint32)


@pytest.fixture
def folder(tmp_path):
    with new_sequence(tmp_path / "sequences" / "08") as writer:
        for i in range(3):
            writer.add(scan(i), labels(i))
    return tmp_path / "sequences" / "08"


def test_roundtrip(folder):
    sequence = Sequence(folder)
    assert len(sequence) == 3
    for i in range(3):
        expected, found = scan(i), sequence.scan(i)
        np.testing.assert_array_equal(found.points, expected.points)
        np.testing.assert_array_equal(found.intensity, expected.intensity)
        np.testing.assert_allclose(found.pose, expected.pose, atol=1e-7)
        assert found.stamp_ns == expected.stamp_ns
        np.testing.assert_array_equal(sequence.labels(i, 20), labels(i))


def test_poses_are_moved_from_the_camera_to_the_lidar(folder):
    camera_T_lidar = from_pose([0.1, -0.2, 0.3], [0.5, -0.5, 0.5, -0.5])
    (folder / "calib.txt").write_text(
        "P0: 1 0 0 0 0 1 0 0 0 0 1 0\nTr: " + " ".join(map(str, camera_T_lidar[:3].ravel())) + "\n"
    )
    rows = [camera_T_lidar @ scan(i).pose @ invert(camera_T_lidar) for i in range(3)]
    (folder / "poses.txt").write_text(
        "".join(" ".join(f"{v:.12e}" for v in row[:3].ravel()) + "\n" for row in rows)
    )
    for i in range(3):
        np.testing.assert_allclose(Sequence(folder).scan(i).pose, scan(i).pose, atol=1e-9)


@pytest.mark.parametrize("name", ["poses.txt", "calib.txt", "times.txt", "velodyne/000001.bin"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(KdmosError, match=r"poses\.txt|calib\.txt|times\.txt"):
        Sequence(folder)


@pytest.mark.parametrize("name", ["poses.txt", "calib.txt", "times.txt"])
@pytest.mark.parametrize("text", ["", "1 2 three\n", "1 2\n", "nan\n", "\0\xff"])
def test_damaged_text_file_is_named(folder, name, text):
    (folder / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(KdmosError, match=name):
        Sequence(folder)


def test_cut_off_scan_is_named(folder):
    path = folder / "velodyne" / "000001.bin"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(KdmosError, match=r"000001\.bin is cut off"):
        Sequence(folder).scan(1)


def test_scan_rate_stands_in_for_times(folder):
    (folder / "times.txt").unlink()
    assert Sequence(folder, rate_hz=5).scan(2).stamp_ns == 400_000_000


@pytest.mark.parametrize(("size", "found"), [(76, "19 labels"), (79, "79 bytes"), (0, "0 labels")])
def test_labels_of_another_length_are_named(folder, size, found):
    path = folder / "labels" / "000002.label"
    path.write_bytes(bytes(size))
    with pytest.raises(KdmosError, match=rf"000002\.label: {found}, but the scan has 20 points"):
        Sequence(folder).labels(2, 20)


def test_label_folder(folder, tmp_path):
    source = LabelFolder(folder / "labels")
    assert len(source) == 3
    np.testing.assert_array_equal(source.read(1, 0, 20), labels(1))
    with pytest.raises(KdmosError, match=r"000003\.label"):
        source.read(3, 0, 20)
    with pytest.raises(KdmosError, match="no such folder"):
        LabelFolder(tmp_path / "none")
    with pytest.raises(KdmosError, match=r"no \.label files"):
        LabelFolder(folder / "velodyne")


def test_predictions_layout(tmp_path):
    with new_predictions(tmp_path, "11") as writer:
        writer.add(4, np.array([0, 9, 250, 251], np.uint32))
    file = tmp_path / "sequences" / "11" / "predictions" / "000004.label"
    assert np.fromfile(file, "<u4").tolist() == [0, 9, 250, 251]
    with pytest.raises(KdmosError, match="exists already"), new_predictions(tmp_path, "11"):
        pass


def test_failed_output_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), new_sequence(tmp_path / "08") as writer:
        writer.add(scan(0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
