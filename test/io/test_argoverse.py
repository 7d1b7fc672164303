"""Argoverse 2, on a small folder of exactly its layout."""

import math

import numpy as np
import pytest
from cli_harness import ForwardSegmenter
from pose_harness import turned

from kdmos_ros import cli
from kdmos_ros.commands._eval_sources import DATASETS
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import invert, matrix_to_quaternion, transform
from kdmos_ros.io.sources import FOLDER_DATASETS, folder_kind, open_sources
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.object_kinds import Kind

N = 8
START_NS = 315_968_867_659_956_000
YAW = math.radians(30)
MOUNTS = {"up_lidar": turned(0.1, 1.35, 0, 1.64), "down_lidar": turned(3.0, 1.35, 0, 1.56, math.pi)}


def stamp(index):
    return START_NS + index * 100_000_000


def city_T_ego(index):
    return turned(YAW, 1700.0 + 0.5 * index, -900.0, 15.0)


def car(index, speed=5.0):
    """Pose in the city of a car that crosses."""
    return city_T_ego(0) @ turned(math.pi / 2, 12.0, -4.0 + speed * 0.1 * index, 0.4)


def ego_points(index):
    """(points in the vehicle's frame, what they are)."""
    rng = np.random.default_rng(index)
    ground = np.column_stack([rng.uniform(-20, 20, (60, 2)), np.full(60, -0.33)])
    ground = ground[np.linalg.norm(ground[:, :2] - [12, 0], axis=1) > 6]
    on_car = transform(invert(city_T_ego(index)) @ car(index), rng.uniform(-0.4, 0.4, (30, 3)))
    parked = transform(turned(0.0, -8.0, 3.0, 0.4), rng.uniform(-0.4, 0.4, (20, 3)))
    parked = transform(invert(city_T_ego(index)) @ city_T_ego(0), parked)
    kinds = [STATIC] * len(ground) + [MOVING] * 30 + [MOVABLE] * 20
    return np.concatenate([ground, on_car, parked]), np.array(kinds)


def pose_columns(poses):
    q = np.array([matrix_to_quaternion(p[:3, :3]) for p in poses])
    t = np.array([p[:3, 3] for p in poses])
    names = ("qx", "qy", "qz", "qw"), ("tx_m", "ty_m", "tz_m")
    return {**dict(zip(names[0], q.T, strict=True)), **dict(zip(names[1], t.T, strict=True))}


def write_log(log, annotated=True):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather

    def save(path, columns):
        path.parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pa.table(columns), str(path))

    mounts = {"sensor_name": ["ring_front_center", *MOUNTS]}
    mounts |= pose_columns([np.eye(4), *MOUNTS.values()])
    save(log / "calibration" / "egovehicle_SE3_sensor.feather", mounts)
    moments = range(-1, N + 1)
    poses = {"timestamp_ns": np.array([stamp(i) for i in moments])}
    poses |= pose_columns([city_T_ego(i) for i in moments])
    save(log / "city_SE3_egovehicle.feather", poses)
    rows = []
    for i in range(N):
        points, _ = ego_points(i)
        laser = np.arange(len(points)) % 64
        save(
            log / "sensors" / "lidar" / f"{stamp(i)}.feather",
            {
                **{axis: points[:, k].astype(np.float16) for k, axis in enumerate("xyz")},
                "intensity": (np.arange(len(points)) % 256).astype(np.uint8),
                "laser_number": laser.astype(np.uint8),
                "offset_ns": np.linspace(0, 1e8, len(points)).astype(np.int32),
            },
        )
        still = invert(city_T_ego(i)) @ city_T_ego(0) @ turned(0.0, -8.0, 3.0, 0.4)
        rows.append((stamp(i), "a", "REGULAR_VEHICLE", invert(city_T_ego(i)) @ car(i)))
        rows.append((stamp(i), "b", "BUS", still))
    table = {
        "timestamp_ns": np.array([r[0] for r in rows]),
        "track_uuid": [r[1] for r in rows],
        "category": [r[2] for r in rows],
        "length_m": np.full(len(rows), 4.0),
        "width_m": np.full(len(rows), 2.0),
        "height_m": np.full(len(rows), 1.6),
        **pose_columns([r[3] for r in rows]),
        "num_interior_pts": np.full(len(rows), 30),
    }
    if annotated:
        save(log / "annotations.feather", table)
    return log


def test_log_of_argoverse(tmp_path):
    log = write_log(tmp_path / "val" / "01bb304d")
    assert folder_kind(tmp_path) == folder_kind(log) == folder_kind(log.parent) == "argoverse2"
    sources = open_sources(tmp_path)
    assert [s.name for s in sources] == ["01bb304d_up_lidar", "01bb304d_down_lidar"]
    counted = np.zeros(4, int)
    for source, mount, lasers in zip(sources, MOUNTS.values(), (range(32), range(32, 64)),
                                     strict=True):  # fmt: skip
        assert source.labelled and len(source) == N
        assert source.base_T_sensor[2, 3] == pytest.approx(mount[2, 3] + 0.33)
        for index, sample in enumerate(source):
            points, kinds = ego_points(index)
            own = np.isin(np.arange(len(points)) % 64, lasers)
            wanted = transform(invert(mount), points[own])
            np.testing.assert_allclose(sample.scan.points, wanted, atol=0.02)  # float16
            assert sample.scan.stamp_ns == stamp(index)
            np.testing.assert_array_equal(sample.labels, kinds[own])
            np.testing.assert_allclose(sample.scan.intensity * 255, np.flatnonzero(own) % 256)
            moving = sample.labels == MOVING
            np.testing.assert_allclose(sample.speed[moving], 5, atol=1e-3)
            assert (sample.kind[sample.labels == MOVABLE] == Kind.BUS).all()
            counted += np.bincount(sample.labels, minlength=4)
        moved = sample.scan.pose[:3, 3] - next(iter(source)).scan.pose[:3, 3]
        np.testing.assert_allclose(moved, [0.5 * (N - 1), 0, 0], atol=1e-6)
    assert counted[MOVING] == 30 * N and counted[MOVABLE] == 20 * N


def test_argoverse_without_annotations_or_parts(tmp_path):
    log = write_log(tmp_path / "test" / "aa", annotated=False)
    (up, _) = open_sources(log)
    assert not up.labelled and (next(iter(up)).labels == UNLABELLED).all()
    with pytest.raises(KdmosError, match="no log bb; it has aa"):
        open_sources(tmp_path, splits=["test"], sequences=["bb"])
    with pytest.raises(KdmosError, match="no split 'dev'"):
        open_sources(tmp_path, "argoverse2", splits=["dev"])
    with pytest.raises(KdmosError, match="not all of the splits"):
        open_sources(tmp_path, splits=["val"])
    sweep = log / "sensors" / "lidar" / f"{stamp(3)}.feather"
    sweep.write_bytes(sweep.read_bytes()[:100])
    with pytest.raises(KdmosError, match=rf"cannot read .*{stamp(3)}.feather"):
        list(up)
    (log / "calibration" / "egovehicle_SE3_sensor.feather").unlink()
    with pytest.raises(KdmosError, match=r"egovehicle_SE3_sensor"):
        open_sources(log)


def test_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kdmos_ros.commands.eval.make_segmenter", lambda _: ForwardSegmenter())
    assert cli.main(["eval", str(write_log(tmp_path / "data"))]) == 0
    assert "moving IoU" in capsys.readouterr().out


def test_data_sets_of_eval_are_those_of_the_factory():
    assert sorted(FOLDER_DATASETS) == sorted(DATASETS)
