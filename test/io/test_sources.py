"""Every kind of source gives the same labelled scans; what is broken is named."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose
from kdmos_ros.io.drive_file import LabelledDrive, save_drive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.io.semantickitti_writer import new_sequence
from kdmos_ros.io.sources import open_sources
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.scan import Scan
from kdmos_ros.sim import Kind, make_drive

N_SCANS, N_POINTS = 4, 12
RAW = np.array([0, 1, 9, 10, 252, 251, 254 | 7 << 16, 70, 250, 40, 31, 259], np.uint32)
# Of bags; folders follow the benchmark, for which 1 (outlier) is unlabelled.
CLASSES = [UNLABELLED, STATIC, STATIC, MOVABLE, *[MOVING] * 3, STATIC, MOVABLE, STATIC,
           MOVABLE, MOVING]  # fmt: skip
BENCHMARK = [UNLABELLED, UNLABELLED, *CLASSES[2:]]
KINDS = [0, 0, 0, Kind.CAR, Kind.CAR, 0, Kind.PEDESTRIAN, Kind.VEGETATION, 0, Kind.ROAD,
         Kind.BICYCLE, Kind.TRUCK]  # fmt: skip


def scan(index):
    rng = np.random.default_rng(index)
    points = rng.normal(size=(N_POINTS, 3)).astype(np.float32)
    pose = from_pose([index, 0, 0], [0, 0, 0, 1])
    return Scan(points, rng.uniform(size=N_POINTS).astype(np.float32), index * 100_000_000, pose)


def write_sequence(folder, times=True):
    with new_sequence(folder) as writer:
        for i in range(N_SCANS):
            writer.add(scan(i), RAW)
    if not times:
        (folder / "times.txt").unlink()
    return folder


@pytest.fixture
def kitti(tmp_path):
    for name in ("08", "35"):
        write_sequence(tmp_path / "kitti" / "sequences" / name)
    return tmp_path / "kitti"


@pytest.fixture
def helimos(tmp_path):
    root = tmp_path / "KAIST05" / "Deskewed_LiDAR"
    for sensor in ("Aeva", "Avia", "Ouster", "Velodyne"):
        write_sequence(root / sensor, times=False)
    for split, lines in (("train", "0\n"), ("val", "1\n2\n"), ("test", "3\n")):
        (root / f"{split}.txt").write_text(lines)
    return root


def test_semantickitti(kitti):
    (source,) = open_sources(kitti)
    assert (source.name, len(source), source.labelled) == ("08", N_SCANS, True)
    samples = list(source)
    for i, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.scan.points, scan(i).points)
        np.testing.assert_allclose(sample.scan.pose, scan(i).pose)
        assert sample.labels.tolist() == BENCHMARK and sample.kind.tolist() == KINDS
        assert sample.name == f"08/{i:06d}"
    assert len(list(source)) == N_SCANS, "it can be read again"


def test_published_splits():
    from kdmos_ros.io.folder_sources import SEMANTICKITTI_SPLITS as SPLITS

    assert SPLITS["train"] == ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
    assert SPLITS["val"] == ("08",)
    assert SPLITS["test"] == tuple(str(i) for i in range(11, 22))
    assert SPLITS["road-train"] == ("30", "31", "32", "33", "34", "40")
    assert SPLITS["road-val"] == ("35", "36", "37", "38", "39", "41")


def test_sequences_by_name(kitti):
    assert [s.name for s in open_sources(kitti, sequences=["35", "08"])] == ["35", "08"]


def test_a_split_needs_all_its_sequences(kitti):
    with pytest.raises(KdmosError, match=r"no such sequence: .*sequences/36"):
        open_sources(kitti, splits=["road-val"])


def test_unknown_split(kitti):
    with pytest.raises(KdmosError, match="no split 'dev'; there are train, val, test, road-train"):
        open_sources(kitti, splits=["dev"])


def test_poses_beside_the_sequences(kitti):
    (kitti / "poses").mkdir()
    (kitti / "sequences" / "08" / "poses.txt").rename(kitti / "poses" / "08.txt")
    (source,) = open_sources(kitti)
    np.testing.assert_allclose([s.scan.pose[0, 3] for s in source], range(N_SCANS))


@pytest.mark.parametrize("name", ["poses.txt", "calib.txt"])
def test_missing_file_is_named(kitti, name):
    (kitti / "sequences" / "08" / name).unlink()
    with pytest.raises(KdmosError, match=f"08/{name}"):
        open_sources(kitti)


@pytest.mark.parametrize("name", ["velodyne/000002.bin", "labels/000002.label"])
@pytest.mark.parametrize("change", ["cut off", "missing"])
def test_broken_scan_is_named(kitti, name, change):
    (source,) = open_sources(kitti)
    path = kitti / "sequences" / "08" / name
    path.write_bytes(path.read_bytes()[:-3]) if change == "cut off" else path.unlink()
    samples = iter(source)
    next(samples), next(samples)
    with pytest.raises(KdmosError, match=name):
        next(samples)


def test_standing_time_is_named(kitti):
    (kitti / "sequences" / "08" / "times.txt").write_text("0\n0.1\n0.1\n0.2\n")
    with pytest.raises(KdmosError, match=r"times\.txt: time 3 is not after"):
        open_sources(kitti)


def test_hidden_labels(kitti):
    labels = kitti / "sequences" / "08" / "labels"
    for path in labels.iterdir():
        path.unlink()
    labels.rmdir()
    (source,) = open_sources(kitti)
    assert not source.labelled
    assert all((s.labels == UNLABELLED).all() for s in source)


def test_one_sequence_folder(kitti):
    (source,) = open_sources(kitti / "sequences" / "35")
    assert source.name == "35" and next(iter(source)).labels.tolist() == BENCHMARK


@pytest.mark.parametrize("up", [0, 1])
def test_helimos(helimos, up):
    root = helimos.parent if up else helimos
    sources = open_sources(root)
    assert [s.name for s in sources] == ["Aeva", "Avia", "Ouster", "Velodyne"]
    assert [s.sensor for s in sources] == [s.name for s in sources]
    samples = list(sources[2])
    assert [bool(s.labels.any()) for s in samples] == [False, True, True, False], "split: val"
    assert [s.scan.stamp_ns for s in samples] == [i * 100_000_000 for i in range(N_SCANS)]


def test_helimos_by_sensor_and_split(helimos):
    (source,) = open_sources(helimos, splits=["train", "test"], sequences=["Avia"])
    assert [bool(s.labels.any()) for s in source] == [True, False, False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [("1\n4\n", "val.txt lists scan 4, but .*Aeva/velodyne has 4 scans"), ("", "val.txt: expected"),
     ("1\nx\n", "val.txt: expected"), ("-1", "val.txt: expected")],
)  # fmt: skip
def test_helimos_with_a_broken_split(helimos, content, message):
    (helimos / "val.txt").write_text(content)
    with pytest.raises(KdmosError, match=message):
        open_sources(helimos)


def test_helimos_with_missing_parts(helimos):
    with pytest.raises(KdmosError, match="no sensor 'Mars'"):
        open_sources(helimos, sequences=["Mars"])
    with pytest.raises(KdmosError, match="no split 'all'"):
        open_sources(helimos, splits=["all"])
    (helimos / "test.txt").unlink()
    with pytest.raises(KdmosError, match=r"cannot read .*test\.txt"):
        open_sources(helimos, splits=["test"])
    (helimos / "Avia" / "labels" / "000001.label").unlink()
    (source,) = open_sources(helimos, sequences=["Avia"])
    with pytest.raises(KdmosError, match=r"Avia/labels/000001\.label"):
        list(source)


def test_apollo_zero_is_static(tmp_path):
    for name in ("02", "03"):
        write_sequence(tmp_path / "sequences" / name, times=False)
    sources = open_sources(tmp_path, "apollo")
    assert [s.name for s in sources] == ["02", "03"]
    assert next(iter(sources[0])).labels.tolist() == [STATIC, *BENCHMARK[1:]]


def test_nothing_there(tmp_path):
    with pytest.raises(KdmosError, match="no such bag"):
        open_sources(tmp_path / "none")
    with pytest.raises(KdmosError, match=r"no such folder: .*none"):
        open_sources(tmp_path / "none", "semantickitti")
    with pytest.raises(KdmosError, match="no data set 'waymo'"):
        open_sources(tmp_path, "waymo")


def test_simulated():
    (source,) = open_sources("sim:3", sensor="vlp16", duration_s=0.6, rate_hz=5.0, movers=True)
    drive = make_drive(3, "vlp16", duration_s=0.6, rate_hz=5.0, movers=True)
    samples = list(source)
    assert len(samples) == len(source) == 3
    np.testing.assert_array_equal(samples[1].labels, drive[1].labels)
    np.testing.assert_array_equal(samples[1].kind, drive[1].kind)
    for sample in samples:
        assert (sample.speed[sample.labels == STATIC] == 0).all()
        assert (sample.speed[sample.labels == MOVING] > 0).all()


@pytest.mark.parametrize("seed", [8, 16, 28])
def test_speed_is_that_of_the_object(seed):
    """A moving object's points shift by its speed, seen by a standing sensor."""
    drive = make_drive(seed, "vlp16", duration_s=1.0, rate_hz=5.0, movers=True, ego="standing")
    before, after = drive[0], drive[4]
    speed = drive.world.speed_of_instance(float(drive.times[2]))
    checked = 0
    for instance in np.unique(before.instance[before.labels == MOVING]):
        seen = [f.scan.points[f.instance == instance, :2] for f in (before, after)]
        if min(map(len, seen)) >= 100:
            shift = np.linalg.norm(np.median(seen[1], 0) - np.median(seen[0], 0)) / 0.8
            # The middle of what is seen of it wanders a little over its surface.
            assert shift == pytest.approx(speed[instance], rel=0.2, abs=0.1)
            checked += 1
    assert checked, "no mover near enough to see"


@pytest.mark.parametrize("text", ["sim:", "sim:x", "sim:3-1", "sim:1-y"])
def test_no_seeds(text):
    with pytest.raises(KdmosError, match="expected sim:SEED"):
        open_sources(text)


def test_cached_drives(tmp_path):
    kind = np.zeros(N_POINTS, np.uint8)
    scans = [LabelledScan(scan(i), np.array(CLASSES, np.uint8), kind) for i in range(2)]
    save_drive(LabelledDrive(scans, np.eye(4), "hdl64e"), tmp_path / "drive_0000005.npz")
    (source,) = open_sources(tmp_path)
    assert source.name == "drive_0000005" and len(source) == 2
    assert next(iter(source)).labels.tolist() == CLASSES
    (tmp_path / "drive_0000005.npz").write_bytes(b"PK")
    with pytest.raises(KdmosError, match=r"drive_0000005\.npz: not a readable drive"):
        open_sources(tmp_path)


def test_bag_with_labels(tmp_path):
    pytest.importorskip("rosbags", reason="bags are read with rosbags")
    from drive_harness import MOUNT

    from kdmos_ros.io.drive_bag import DriveWriter

    with DriveWriter(tmp_path / "bag", MOUNT) as writer:
        for i in range(3):
            writer.add(scan(i), RAW)
    (source,) = open_sources(tmp_path / "bag")
    np.testing.assert_allclose(source.base_T_sensor, MOUNT)
    samples = list(source)
    assert [s.name for s in samples] == [f"bag/{i:06d}" for i in range(3)]
    assert samples[2].labels.tolist() == CLASSES and samples[2].kind.tolist() == KINDS
    np.testing.assert_allclose(samples[2].scan.pose, scan(2).pose, atol=1e-6)
    folder = write_sequence(tmp_path / "sequence") / "labels"
    (folder / "000000.label").write_bytes(bytes(4))
    (source,) = open_sources(tmp_path / "bag", labels=folder)
    with pytest.raises(KdmosError, match=r"000000\.label: 1 labels, but the scan has 12"):
        list(source)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3 labels"):
        LabelledScan(scan(0), np.zeros(3, np.uint8), np.zeros(N_POINTS, np.uint8))
