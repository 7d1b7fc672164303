"""nuScenes, on a small folder of exactly its layout."""

import json
import math

import numpy as np
import pytest
from cli_harness import ForwardSegmenter
from pose_harness import turned

from kdmos_ros import cli
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import invert, matrix_to_quaternion, transform
from kdmos_ros.io.sources import folder_kind, open_sources
from kdmos_ros.labels import MOVING, STATIC, UNLABELLED
from kdmos_ros.object_kinds import Kind

YAW = math.radians(30)
LIDAR_MOUNT = turned(-math.pi / 2, 0.94, 0.0, 1.84)
SWEEPS_A_KEY = 10


def moment(index):
    """Microseconds of sweep `index`, at 20 Hz."""
    return 1_532_402_927_647_951 + index * 50_000


def ego(index):
    return turned(YAW, 411.0 + 0.3 * index, 1180.0, 0.0)


def row_pose(pose):
    x, y, z, w = matrix_to_quaternion(pose[:3, :3]).tolist()
    return {"translation": pose[:3, 3].tolist(), "rotation": [w, x, y, z]}


def walker(index, speed=1.2):
    return ego(0) @ turned(0.5, 6.0, -2.0 + speed * 0.05 * index, 0.9)


def lidar_points(index):
    rng = np.random.default_rng(index)
    world_T_lidar = ego(index) @ LIDAR_MOUNT
    ground = np.column_stack([rng.uniform(10, 20, (40, 2)), np.full(40, -1.84)])
    walking = transform(invert(world_T_lidar) @ walker(index), rng.uniform(-0.25, 0.25, (12, 3)))
    cone = transform(invert(world_T_lidar) @ ego(0) @ turned(0, -6, 0, 0.5),
                     rng.uniform(-0.2, 0.2, (8, 3)))  # fmt: skip
    return np.concatenate([ground, walking, cone]).astype(np.float32)


def write_nuscenes(root, n_keys=3, version="v1.0-mini"):
    tables = {name: [] for name in ("scene", "sample", "sample_data", "ego_pose",
              "calibrated_sensor", "sample_annotation", "instance", "category")}  # fmt: skip
    tables["scene"].append({"token": "s1", "name": "scene-0061"})
    tables["calibrated_sensor"].append(
        {"token": "c1", "sensor_token": "x", **row_pose(LIDAR_MOUNT), "camera_intrinsic": []}
    )
    for name, token in (("human.pedestrian.adult", "k1"), ("movable_object.trafficcone", "k2")):
        tables["category"].append({"token": token, "name": name})
        tables["instance"].append({"token": token.replace("k", "i"), "category_token": token})
    for i in range((n_keys - 1) * SWEEPS_A_KEY + 1):
        key, is_key = f"p{-(-i // SWEEPS_A_KEY)}", i % SWEEPS_A_KEY == 0
        name = f"n008__LIDAR_TOP__{moment(i)}.pcd.bin"
        path = f"{'samples' if is_key else 'sweeps'}/LIDAR_TOP/{name}"
        points = lidar_points(i)
        n = len(points)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        rows = np.column_stack([points, np.arange(n) * 3 % 256, np.arange(n) % 32])
        rows.astype("<f4").tofile(root / path)
        tables["ego_pose"].append({"token": f"e{i}", "timestamp": moment(i), **row_pose(ego(i))})
        tables["sample_data"].append(
            {"token": f"d{i}", "sample_token": key, "ego_pose_token": f"e{i}", "filename": path,
             "calibrated_sensor_token": "c1", "timestamp": moment(i), "is_key_frame": is_key}
        )  # fmt: skip
        if not is_key:
            continue
        tables["sample"].append({"token": key, "timestamp": moment(i), "scene_token": "s1"})
        before, after = int(key[1:]) - 1, int(key[1:]) + 1
        poses = (walker(i), [0.8, 0.9, 1.8]), (ego(0) @ turned(0, -6, 0, 0.5), [0.5, 0.5, 1.0])
        for number, (pose, size) in enumerate(poses, start=1):
            tables["sample_annotation"].append(
                {"token": f"a{number}{key}", "sample_token": key, "instance_token": f"i{number}",
                 "attribute_tokens": [], "size": size, **row_pose(pose),
                 "prev": f"a{number}p{before}" if before >= 0 else "",
                 "next": f"a{number}p{after}" if after < n_keys else ""}
            )  # fmt: skip
    (root / version).mkdir(parents=True)
    for name, rows in tables.items():
        (root / version / f"{name}.json").write_text(json.dumps(rows))
    return root


def test_scene_of_nuscenes(tmp_path):
    root = write_nuscenes(tmp_path)
    assert folder_kind(root) == "nuscenes"
    (source,) = open_sources(root)
    assert (source.name, len(source), source.labelled) == ("scene-0061", 21, True)
    np.testing.assert_allclose(source.base_T_sensor, LIDAR_MOUNT, atol=1e-9)
    first = None
    for index, sample in enumerate(source):
        np.testing.assert_array_equal(sample.scan.points, lidar_points(index))
        n = len(sample.scan.points)
        np.testing.assert_allclose(sample.scan.intensity * 255, np.arange(n) * 3 % 256, atol=1e-4)
        assert sample.scan.stamp_ns == moment(index) * 1000
        pose = ego(index) @ LIDAR_MOUNT
        first = sample.scan.pose if first is None else first
        moved = sample.scan.pose[:3, 3] - first[:3, 3]
        np.testing.assert_allclose(moved, pose[:3, 3] - (ego(0) @ LIDAR_MOUNT)[:3, 3], atol=1e-6)
        if index % SWEEPS_A_KEY:
            assert (sample.labels == UNLABELLED).all()
            continue
        assert sample.labels.tolist() == [STATIC] * 40 + [MOVING] * 12 + [STATIC] * 8
        np.testing.assert_allclose(sample.speed[40:52], 1.2, atol=1e-3)
        assert (sample.kind[40:52] == Kind.PEDESTRIAN).all() and (sample.kind[52:] == 11).all()


def test_speed_of_a_single_box_is_not_known(tmp_path):
    (source,) = open_sources(write_nuscenes(tmp_path, n_keys=1))
    (sample,) = source
    assert sample.labels.tolist() == [STATIC] * 40 + [UNLABELLED] * 20


def test_nuscenes_in_parts(tmp_path):
    root = write_nuscenes(tmp_path)
    with pytest.raises(KdmosError, match=r"no scene scene-9 in v1\.0-mini"):
        open_sources(root, sequences=["scene-9"])
    with pytest.raises(KdmosError, match="--split: mini"):
        open_sources(root, splits=["val"])
    (source,) = open_sources(root)
    sweep = next((root / "sweeps" / "LIDAR_TOP").iterdir())
    sweep.write_bytes(sweep.read_bytes()[:-6])
    with pytest.raises(KdmosError, match=sweep.name):
        list(source)
    (root / "v1.0-mini" / "ego_pose.json").write_text("[")
    with pytest.raises(KdmosError, match=r"cannot read .*ego_pose.json"):
        open_sources(root)


def test_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kdmos_ros.commands.eval.make_segmenter", lambda _: ForwardSegmenter())
    assert cli.main(["eval", str(write_nuscenes(tmp_path / "data"))]) == 0
    assert "moving IoU" in capsys.readouterr().out
