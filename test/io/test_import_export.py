"""Between SemanticKITTI folders and bags, there and back."""

import numpy as np
import pytest
from cli_harness import failure
from drive_harness import MOUNT, cloud, odometry, points, pose, stamp, write_bag, write_drive

from kdmos_ros import cli
from kdmos_ros.geometry.transforms import from_pose, invert
from kdmos_ros.io.bag_file import ODOMETRY, POINT_CLOUD
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.calibration_file import read_calibration
from kdmos_ros.io.semantickitti import Sequence

N_SCANS = 4
CAMERA_T_LIDAR = from_pose([-0.01, -0.08, -0.28], [0.5, -0.5, 0.5, -0.5])
PROJECTION = np.array([[718.8, 0, 607.1, 45.4], [0, 718.8, 185.2, -0.1], [0, 0, 1, 0.005]])


def scan_rows(index):
    rng = np.random.default_rng(index)
    rows = rng.uniform(-40, 40, (100 + index, 4)).astype("<f4")
    rows[:, 3] = rng.uniform(0, 1, len(rows))
    return rows


def lidar_pose(index):
    return from_pose(
        [1.1 * index, 0.1, 0.02 * index], [0, 0, np.sin(0.1 * index), np.cos(0.1 * index)]
    )


@pytest.fixture
def sequence(tmp_path):
    """A folder as the data set has it: camera poses, a calibration, uneven times."""
    folder = tmp_path / "08"
    for name in ("velodyne", "labels"):
        (folder / name).mkdir(parents=True)
    rows, lidar_T_camera = [], invert(CAMERA_T_LIDAR)
    for i in range(N_SCANS):
        scan_rows(i).tofile(folder / "velodyne" / f"{i:06d}.bin")
        raw = np.arange(100 + i, dtype="<u4") % 260 | (np.uint32(i + 7) << np.uint32(16))
        raw.tofile(folder / "labels" / f"{i:06d}.label")
        rows.append(CAMERA_T_LIDAR @ lidar_pose(i) @ lidar_T_camera)

    def text(matrix):
        return " ".join(f"{v:.9e}" for v in np.asarray(matrix)[:3].ravel())

    (folder / "poses.txt").write_text("".join(f"{text(row)}\n" for row in rows))
    (folder / "calib.txt").write_text(
        f"P0: {text(np.eye(4))}\nP2: {text(PROJECTION)}\nTr: {text(CAMERA_T_LIDAR)}\n"
    )
    (folder / "times.txt").write_text("0.0\n0.103791000\n0.207500001\n0.311\n")
    return folder


def kdmos(*arguments):
    assert cli.main([str(a) for a in arguments]) == 0


def test_there_and_back(sequence, tmp_path):
    kdmos("import", sequence, tmp_path / "bag")
    kdmos("export", tmp_path / "bag", tmp_path / "back")
    back = tmp_path / "back"
    for folder in ("velodyne", "labels"):
        files = sorted((sequence / folder).iterdir())
        assert [f.name for f in files] == sorted(f.name for f in (back / folder).iterdir())
        for file in files:
            assert file.read_bytes() == (back / folder / file.name).read_bytes()
    for name in ("poses.txt", "times.txt"):
        np.testing.assert_allclose(np.loadtxt(back / name), np.loadtxt(sequence / name), atol=1e-8)
    before, after = (read_calibration(f / "calib.txt") for f in (sequence, back))
    assert list(before) == list(after) == ["P0", "P2", "Tr"]
    for name in before:
        np.testing.assert_allclose(after[name], before[name], atol=1e-8)
    np.testing.assert_allclose(Sequence(back).scan(3).pose, lidar_pose(3), atol=1e-7)


def test_the_bag_is_one_that_everything_else_reads(sequence, tmp_path):
    kdmos("import", sequence, tmp_path / "bag", "--start", "5", "--base-to-lidar=0.5,0,1.8")
    with BagReader(tmp_path / "bag") as bag:
        np.testing.assert_allclose(bag.base_T_sensor, MOUNT)
        stamps = [stamp for stamp, _ in bag.clouds()]
        assert stamps == [5_000_000_000, 5_103_791_000, 5_207_500_001, 5_311_000_000]
        found = bag.poses.at(stamps[2]) @ bag.base_T_sensor
        np.testing.assert_allclose(found, lidar_pose(2), atol=1e-7)


def test_without_labels_and_times(sequence, tmp_path, capsys):
    for file in (sequence / "labels").iterdir():
        file.unlink()
    (sequence / "labels").rmdir()
    (sequence / "times.txt").unlink()
    assert "no scan rate" in failure(capsys, "import", sequence, tmp_path / "bag")
    assert not (tmp_path / "bag").exists()
    kdmos("import", sequence, tmp_path / "bag", "--rate", "10")
    kdmos("export", tmp_path / "bag", tmp_path / "back")
    assert capsys.readouterr().out.count("no labels") == 2
    np.testing.assert_allclose(np.loadtxt(tmp_path / "back" / "times.txt"), [0, 0.1, 0.2, 0.3])
    assert not list((tmp_path / "back" / "labels").glob("*"))


def test_exact_times_of_today(tmp_path):
    write_drive(tmp_path / "bag", 3)
    kdmos("export", tmp_path / "bag", tmp_path / "out")
    lines = (tmp_path / "out" / "times.txt").read_text().splitlines()
    assert lines == ["0.000000000", "0.100000000", "0.200000000"]


def test_scans_without_a_pose_are_left_out_and_counted(tmp_path, capsys):
    write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(i), cloud(i)) for i in range(4)]),
            "/odom": (ODOMETRY, [(stamp(i), odometry(i)) for i in (1, 2)]),
        },
    )
    labels = tmp_path / "labels"
    labels.mkdir()
    for i in range(4):
        np.full(50, i, "<u4").tofile(labels / f"{i:06d}.label")
    mount = "--base-to-lidar=0.5,0,1.8"
    kdmos("export", tmp_path / "bag", tmp_path / "out", "--labels", labels, mount)
    assert "left out: 1 too_new, 1 too_old" in capsys.readouterr().out
    back = Sequence(tmp_path / "out")
    assert len(back) == 2
    np.testing.assert_array_equal(back.scan(0).points, points(1))
    np.testing.assert_array_equal(back.labels(1, 50), np.full(50, 2))
    np.testing.assert_allclose(back.scan(1).pose, pose(2) @ MOUNT)


def test_points_without_a_return_become_zero(tmp_path):
    message = cloud(0)
    rows = np.asarray(message.data).reshape(50, -1)
    rows[7, :4] = np.array([np.nan], "<f4").view(np.uint8)
    write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(0), message)]),
            "/odom": (ODOMETRY, [(stamp(0), odometry(0))]),
        },
    )
    kdmos("export", tmp_path / "bag", tmp_path / "out", "--base-to-lidar=0.5,0,1.8")
    found = Sequence(tmp_path / "out").scan(0).points
    assert len(found) == 50 and not found[7].any() and found[6].any()


def test_answers_of_the_model_are_exported(tmp_path, tiny_model):
    write_drive(tmp_path / "bag", 3)
    kdmos("label", tmp_path / "bag", tmp_path / "labeled", "--model", tiny_model)
    kdmos("label", tmp_path / "bag", "--semantickitti", tmp_path / "l", "--model", tiny_model)
    kdmos("export", tmp_path / "labeled", tmp_path / "out")
    for i in range(3):
        found = Sequence(tmp_path / "out").labels(i, 50)
        np.testing.assert_array_equal(found, np.fromfile(tmp_path / "l" / f"{i:06d}.label", "<u4"))


def test_failures_leave_nothing(sequence, tmp_path, capsys):
    bag = write_drive(tmp_path / "bag", 2)
    out = tmp_path / "out"
    assert "no such folder" in failure(capsys, "import", tmp_path / "none", out)
    assert "no such bag" in failure(capsys, "export", tmp_path / "none", out)
    assert "exists already" in failure(capsys, "import", sequence, bag)
    assert "exists already" in failure(capsys, "export", bag, sequence)
    assert "4 label files" in failure(capsys, "export", bag, out, "--labels", sequence / "labels")
    (sequence / "labels" / "000002.label").unlink()
    assert "000002.label" in failure(capsys, "import", sequence, out)
    scan = sequence / "velodyne" / "000001.bin"
    scan.write_bytes(scan.read_bytes()[:-3])
    assert "cut off" in failure(capsys, "import", sequence, out)
    (sequence / "calib.txt").write_text("nothing\n")
    assert "Tr" in failure(capsys, "import", sequence, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["08", "bag"]


def test_all_scans_without_a_pose(tmp_path, capsys):
    write_bag(
        tmp_path / "bag",
        {
            "/points": (POINT_CLOUD, [(stamp(0), cloud(0))]),
            "/odom": (ODOMETRY, [(stamp(3), odometry(3))]),
        },
    )
    text = failure(capsys, "export", tmp_path / "bag", tmp_path / "out", "--base-to-lidar=0,0,1")
    assert "1 too_old" in text and not (tmp_path / "out").exists()
