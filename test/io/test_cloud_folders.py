"""Folders of clouds with a file of poses are read, labelled and scored as bags are."""

import numpy as np
import pytest
from drive_harness import MOUNT, START_NS, points, pose, stamp
from label_harness import content, label

from kdmos_ros.cli import make_parser
from kdmos_ros.commands._eval_sources import is_bag
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import invert, make_transform, matrix_to_quaternion
from kdmos_ros.io.bag_file import BagError
from kdmos_ros.io.bag_reader import BagReader
from kdmos_ros.io.ground_truth import BagLabels
from kdmos_ros.io.point_file import write_points
from kdmos_ros.io.sources import folder_kind
from kdmos_ros.labelling.job import Target
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.pointcloud.layout import read_layout

N = 5
INTENSITY = np.linspace(0, 1, 50, dtype=np.float32)
SUFFIXES = (".bin", ".pcd", ".ply")


def seconds(ns):
    return f"{ns // 10**9}.{ns % 10**9:09d}"


def tum(stamps, poses):
    rows = [
        " ".join([t, *(f"{v:.9f}" for v in (*p[:3, 3], *matrix_to_quaternion(p[:3, :3])))])
        for t, p in zip(stamps, poses, strict=True)
    ]
    return "# stamp x y z qx qy qz qw\n" + "\n".join(rows) + "\n"


def kitti(poses):
    return "".join(" ".join(f"{v:.12g}" for v in p[:3].ravel()) + "\n" for p in poses)


def write_cloud(path, index):
    path.parent.mkdir(parents=True, exist_ok=True)
    xyz = points(index)
    if path.suffix == ".bin":
        np.column_stack([xyz, INTENSITY]).astype("<f4").tofile(path)
    else:
        pytest.importorskip("pypcd4" if path.suffix == ".pcd" else "plyfile")
        write_points(path, xyz, INTENSITY)


def folder(root, suffix=".bin", names=None, inside="velodyne", n=N):
    for i in range(n):
        write_cloud(root / inside / f"{names[i] if names else f'{i:06d}'}{suffix}", i)
    return root


def check(path, stamps=None, **options):
    """Read it; the clouds, stamps and poses must be those of the drive."""
    with BagReader(path, **options) as bag:
        found = list(bag.clouds())
        assert len(found) == bag.n_scans == N
        for i, (stamp_ns, message) in enumerate(found):
            assert stamp_ns == (stamp(i) if stamps is None else stamps[i])
            cloud = decode(message)
            np.testing.assert_array_equal(cloud.points, points(i))
            np.testing.assert_allclose(cloud.intensity, INTENSITY, atol=1e-6)
            np.testing.assert_allclose(bag.poses.at(stamp_ns), pose(i), atol=1e-8)
        return bag.about


TUM = tum([seconds(stamp(i)) for i in range(N)], [pose(i) for i in range(N)])
NAMES = {
    "seconds": [seconds(stamp(i)) for i in range(N)],
    "nanoseconds": [str(stamp(i)) for i in range(N)],
    "microseconds": [str(stamp(i) // 1000) for i in range(N)],
    "two numbers": [seconds(stamp(i)).replace(".", "_") for i in range(N)],
    "after a word": [f"scan_{stamp(i)}" for i in range(N)],
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("inside", [".", "velodyne"])
def test_names_as_stamps_and_tum_poses(tmp_path, suffix, inside):
    root = folder(tmp_path / "drive", suffix, NAMES["seconds"], inside)
    (root / "poses.txt").write_text(TUM)
    about = check(root)
    assert "names" in about and "poses.txt (TUM)" in about and "\n" not in about


@pytest.mark.parametrize("names", NAMES)
def test_what_names_are_times(tmp_path, names):
    root = folder(tmp_path / "drive", names=NAMES[names])
    (root / "odometry.tum").write_text(TUM)
    check(root)


def test_numbered_clouds_take_the_stamps_of_as_many_poses(tmp_path):
    root = folder(tmp_path / "drive", names=[str(i * 4) for i in range(N)])  # 12 is after 8
    (root / "poses.txt").write_text(TUM)
    assert "stamps of poses.txt" in check(root)


def test_poses_beside_the_named_folder(tmp_path):
    root = folder(tmp_path / "drive", inside="scans")
    (root / "poses.txt").write_text(TUM)
    check(root / "scans")


@pytest.mark.parametrize("times", ["seconds", "dates"])
def test_kitti_poses_and_times(tmp_path, times):
    root = folder(tmp_path / "drive")
    (root / "poses.txt").write_text(kitti([pose(i) for i in range(N)]))
    rows = [seconds(i * 10**8) for i in range(N)]
    stamps = [i * 10**8 for i in range(N)]
    if times == "dates":
        rows = [f"2011-09-26 13:02:25.{i}94360375" for i in range(N)]
        start = int(np.datetime64("2011-09-26T13:02:25", "s").astype(int)) * 10**9
        stamps = [start + i * 10**8 + 94360375 for i in range(N)]
    (root / "times.txt").write_text("\n".join(rows))
    assert "stamps of times.txt" in check(root, stamps)


def test_without_times_10_hz_are_taken_and_said(tmp_path):
    root = folder(tmp_path / "drive")
    (root / "poses.txt").write_text(kitti([pose(i) for i in range(N)]))
    about = check(root, [i * 10**8 for i in range(N)])
    assert "10 Hz taken" in about and "times.txt" in about


def test_poses_that_only_count_have_no_stamps(tmp_path):
    """KISS-ICP writes 0, 1, 2 ... where it knows no times."""
    root = folder(tmp_path / "drive")
    (root / "poses.txt").write_text(tum(map(str, range(N)), [pose(i) for i in range(N)]))
    assert "10 Hz taken" in check(root, [i * 10**8 for i in range(N)])


def test_kitti_poses_of_a_camera(tmp_path):
    camera_T_lidar = make_transform([[0, -1, 0], [0, 0, -1], [1, 0, 0]], [0.1, 0.2, 0.3])
    root = folder(tmp_path / "drive")
    camera = [camera_T_lidar @ pose(i) @ invert(camera_T_lidar) for i in range(N)]
    (root / "poses.txt").write_text(kitti(camera * 1))
    calibration = root / "calib.txt"
    calibration.write_text("Tr: " + kitti([camera_T_lidar]))
    check(root, [i * 10**8 for i in range(N)])
    calibration.unlink()
    far = [make_transform(np.eye(3), [0, 0, 2.0 * i]) for i in range(N)]
    (root / "poses.txt").write_text(kitti(far))
    with pytest.raises(KdmosError, match=r"poses.txt: .*a camera's.*calib.txt"):
        BagReader(root)


def test_poses_are_the_lidars_own_unless_a_mount_is_given(tmp_path):
    root = folder(tmp_path / "drive")
    (root / "poses.txt").write_text(TUM)
    with BagReader(root) as bag:
        assert bag.base_frame == bag.sensor_frame and "the LiDAR's own" in bag.about
    (root / "mount.txt").write_text("0.5 0 1.8\n")
    with BagReader(root) as bag:
        assert (bag.base_frame, bag.sensor_frame) == ("base_link", "lidar")
        np.testing.assert_allclose(bag.base_T_sensor, MOUNT)


def test_two_files_of_poses_are_chosen_from(tmp_path):
    root = folder(tmp_path / "drive")
    for name in ("fast_lio.txt", "ground.txt"):
        (root / name).write_text(TUM)
    with pytest.raises(BagError, match=r"--odom: /fast_lio, /ground"):
        BagReader(root)
    check(root, odom_topic="ground")


@pytest.mark.parametrize("source", ["auto", "odometry"])
@pytest.mark.parametrize("form", ["tum", "kitti"])
def test_other_number_of_poses(tmp_path, form, source):
    """Not passed over in favour of poses from the clouds either."""
    root = folder(tmp_path / "drive")
    text = TUM if form == "tum" else kitti([pose(i) for i in range(N)])
    (root / "poses.txt").write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(BagError, match=r"poses.txt has 4 poses, but there are 5 clouds") as error:
        BagReader(root, pose_source=source)
    assert "\n" not in str(error.value)


def test_poses_of_another_time(tmp_path):
    root = folder(tmp_path / "drive", names=NAMES["seconds"])
    (root / "poses.txt").write_text(tum([f"{i}.5" for i in range(N)], [pose(i) for i in range(N)]))
    with pytest.raises(BagError, match=r"0\.500 to 4\.500 s.*1700000000\.000 to .*two clocks"):
        BagReader(root)


def test_no_poses(tmp_path):
    root = folder(tmp_path / "drive")
    with pytest.raises(BagError, match=r"no file of poses.*TUM.*KITTI.*--pose-source kiss_icp"):
        BagReader(root)
    with BagReader(root, base_T_sensor=MOUNT, pose_source="kiss_icp") as bag:
        assert bag.n_scans == N


@pytest.mark.parametrize(
    ("line", "why"),
    [("1 2 3", "3 numbers"), ("1.5 0 0 0 0 0 0 0", "not a rotation"), ("x 0 0 0 0 0 0 1", "")],
)
def test_broken_line_of_poses(tmp_path, line, why):
    root = folder(tmp_path / "drive")
    (root / "poses.txt").write_text(f"{TUM}{line}\n")
    with pytest.raises(KdmosError, match=rf"poses.txt, line {N + 2}: .*{why}"):
        BagReader(root)


def test_times_of_another_number(tmp_path):
    root = folder(tmp_path / "drive")
    (root / "poses.txt").write_text(TUM)
    (root / "times.txt").write_text("0.0\n0.1\n")
    with pytest.raises(KdmosError, match=r"times.txt has 2 times, but there are 5 clouds"):
        BagReader(root)


def test_several_folders_of_clouds(tmp_path):
    root = folder(folder(tmp_path / "drive"), inside="livox")
    with pytest.raises(KdmosError, match=r"several folders of clouds.*drive/livox, .*drive/velo"):
        BagReader(root)


@pytest.mark.parametrize("columns", [3, 4, 5])
def test_columns_of_bare_floats(tmp_path, columns):
    for i in range(N):
        rows = np.column_stack([points(i, 49), INTENSITY[:49], np.arange(49) % 32])
        (tmp_path / "scans").mkdir(exist_ok=True)
        rows[:, :columns].astype("<f4").tofile(tmp_path / "scans" / f"{i:06d}.bin")
    (tmp_path / "poses.txt").write_text(TUM)
    with BagReader(tmp_path) as bag:
        for i, (_, message) in enumerate(bag.clouds()):
            np.testing.assert_array_equal(decode(message).points, points(i, 49))


def test_bin_that_is_cut_off(tmp_path):
    root = folder(tmp_path / "drive")
    (root / "poses.txt").write_text(TUM)
    last = root / "velodyne" / "000004.bin"
    last.write_bytes(last.read_bytes()[:-3])
    with pytest.raises(KdmosError, match=r"000004.bin: 797 bytes"):
        BagReader(root)


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_fields_of_pcd_are_kept(tmp_path, encoding):
    """As a driver's: times, rings and padding; integers of 64 bits become float64."""
    pypcd4 = pytest.importorskip("pypcd4")
    kinds = {"x": "f4", "y": "f4", "z": "f4", "intensity": "f4", "ring": "u2", "timestamp": "f8"}
    for i in range(N):
        times = stamp(i) * 1e-9 + np.linspace(0, 0.1, 50)
        columns = [*points(i).T, INTENSITY, np.arange(50) % 16, times]
        cloud = pypcd4.PointCloud.from_points(columns, list(kinds), list(kinds.values()))
        cloud.save(tmp_path / f"{stamp(i)}.pcd", encoding=pypcd4.Encoding(encoding))
    (tmp_path / "poses.txt").write_text(TUM)
    with BagReader(tmp_path) as bag:
        for i, (_, message) in enumerate(bag.clouds()):
            layout = read_layout(message)
            np.testing.assert_allclose(decode(layout).points, points(i), atol=1e-4)
            assert {f.name for f in layout.fields} == set(kinds)
            times = layout.column(layout.find("timestamp")).reshape(-1)
            np.testing.assert_allclose(times - times[0], np.linspace(0, 0.1, 50), atol=1e-5)


PCD = (
    "VERSION 0.7\nFIELDS {fields}\nSIZE 4 4 4\nTYPE {type} F F\nCOUNT 1 1 1\nWIDTH 50\nHEIGHT 1\n"
    "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 50\nDATA binary\n"
)


@pytest.mark.parametrize(
    ("fields", "kind", "n_bytes", "why"),
    [
        ("range azimuth elevation", "F", 600, "no field x.*it has range, azimuth, elevation"),
        ("x y z", "I", 600, "x is int32, not float32"),
        ("x y z", "F", 480, "40 of 50 points"),
        ("x y z", "Q", 600, "no readable PCD file"),
    ],
)
def test_pcd_that_cannot_be_read(tmp_path, fields, kind, n_bytes, why):
    pytest.importorskip("pypcd4")
    for i in range(2):
        head = PCD.format(fields=fields, type=kind).encode()
        (tmp_path / f"{stamp(i)}.pcd").write_bytes(head + bytes(n_bytes))
    (tmp_path / "poses.txt").write_text(TUM)
    with pytest.raises(KdmosError, match=why) as error:
        BagReader(tmp_path)
    assert f"{START_NS}.pcd" in str(error.value) and "\n" not in str(error.value)


def test_one_cloud_is_no_drive(tmp_path):
    root = folder(tmp_path / "drive", n=1)
    with pytest.raises(BagError, match="one cloud; name its folder"):
        BagReader(root / "velodyne" / "000000.bin")


def test_labels_beside_the_clouds_are_the_truth(tmp_path):
    root = folder(tmp_path / "drive", names=NAMES["seconds"])
    (root / "poses.txt").write_text(TUM)
    (root / "labels").mkdir()
    for i, name in enumerate(NAMES["seconds"]):
        np.full(50, 250 + i, "<u4").tofile(root / "labels" / f"{name}.label")
    with BagReader(root) as bag, BagLabels(root) as labels:
        assert bag.has_ground_truth
        for i, (stamp_ns, _) in enumerate(bag.clouds()):
            assert (labels.read(i, stamp_ns, 50) == 250 + i).all()


def test_labelled_as_a_bag(tmp_path):
    root = folder(tmp_path / "drive", names=NAMES["seconds"])
    (root / "poses.txt").write_text(TUM)
    (root / "mount.txt").write_text("0.5 0 1.8\n")
    label(root, Target(tmp_path / "out"))
    counts = {topic: len(messages) for topic, messages in content(tmp_path / "out").items()}
    assert counts == {"/velodyne": N, "/poses": N, "/tf_static": 1, "/mos_node/labeled": N}


def test_what_eval_takes_for_a_sequence_of_a_benchmark(tmp_path):
    root = folder(tmp_path / "drive")
    arguments = make_parser().parse_args(["eval", str(root)])
    (root / "poses.txt").write_text(kitti([pose(i) for i in range(N)]))
    assert folder_kind(root) == "sequence" and not is_bag(arguments)
    (root / "poses.txt").write_text(TUM)
    assert is_bag(arguments)
