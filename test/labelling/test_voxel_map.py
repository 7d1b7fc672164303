"""The voxel-filtered map and its files."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import from_pose, transform
from kdmos_ros.io.point_file import write_points
from kdmos_ros.labelling.voxel_map import VoxelMap

POSE = from_pose([3.0, -2.0, 1.0], [0, 0, np.sin(0.4), np.cos(0.4)])


def cloud(seed, n=3000):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (n, 3)).astype(np.float32), rng.uniform(size=n).astype(np.float32)


def reference(clouds, voxel_m, pose=POSE):
    """Means by voxel with a dictionary, in order of first hit."""
    voxels = {}
    for points, intensity in clouds:
        for p, i in zip(transform(pose, points.astype(np.float64)), intensity, strict=True):
            voxels.setdefault(tuple(np.floor(p / voxel_m).astype(int)), []).append([*p, i])
    return np.array([np.mean(v, axis=0) for v in voxels.values()])


def test_means_by_voxel():
    clouds = [cloud(s) for s in range(4)]
    grown = VoxelMap(0.5)
    for points, intensity in clouds:
        grown.add(POSE, points, intensity)
    expected = reference(clouds, 0.5)
    points, intensity = grown.points()
    assert len(grown) == len(expected) > 1000  # beyond the first capacity
    np.testing.assert_allclose(points, expected[:, :3], atol=1e-9)
    np.testing.assert_allclose(intensity, expected[:, 3], atol=1e-6)


def test_memory_follows_the_map():
    grown = VoxelMap(0.5)
    points, intensity = cloud(0)
    grown.add(POSE, points, intensity)
    size = len(grown)
    for _ in range(5):
        grown.add(POSE, points, intensity)
    assert len(grown) == size


def test_saved_map_goes_on_bit_for_bit(tmp_path):
    whole, part = VoxelMap(0.3), VoxelMap(0.3)
    for seed in range(5):
        whole.add(POSE, *cloud(seed))
        part.add(POSE, *cloud(seed))
        part.scans += 1
        if seed in (1, 3):
            part.save(tmp_path / "state.npz")
            part = VoxelMap.load(tmp_path / "state.npz")
    assert part.scans == 5
    for a, b in zip(whole.points(), part.points(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_empty_map_can_be_saved_and_go_on(tmp_path):
    VoxelMap(0.3).save(tmp_path / "state.npz")
    loaded = VoxelMap.load(tmp_path / "state.npz")
    assert len(loaded) == 0 and loaded.points()[0].shape == (0, 3)
    loaded.add(POSE, *cloud(0))
    assert len(loaded) > 0


def test_points_that_are_not_finite_are_left_out():
    points, intensity = cloud(0, 10)
    points[3] = np.nan
    points[4, 1] = np.inf
    grown = VoxelMap(0.001)
    grown.add(POSE, points, intensity)
    assert len(grown) == 8


def test_without_intensity():
    grown = VoxelMap(0.5)
    grown.add(POSE, cloud(0)[0])
    assert grown.points()[1] is None


def test_far_from_the_origin_of_the_frame():
    far = POSE.copy()
    far[:3, 3] += [600_000.0, 5_300_000.0, 500.0]
    grown = VoxelMap(0.2)
    points, intensity = cloud(0, 100)
    grown.add(far, points, intensity)
    found = grown.points()[0]
    assert np.abs(found - far[:3, 3]).max() < 30


def test_out_of_reach_is_a_clear_error():
    grown = VoxelMap(0.001)
    with pytest.raises(KdmosError, match="larger voxels"):
        grown.add(POSE, np.array([[5000.0, 0, 0]], np.float32))


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_voxel_size_must_be_above_zero(size):
    with pytest.raises(ValueError, match="above 0"):
        VoxelMap(size)


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_damaged_state_is_a_clear_error(tmp_path, content):
    path = tmp_path / "state.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KdmosError, match="state"):
        VoxelMap.load(path)


def read(path):
    """Points and intensities of a file, by its own header."""
    raw = path.read_bytes()
    end = b"DATA binary\n" if path.suffix == ".pcd" else b"end_header\n"
    header, _, body = raw.partition(end)
    lines = header.decode().splitlines()
    if path.suffix == ".pcd":
        found = {line.split()[0]: line.split()[1:] for line in lines if line[0] != "#"}
        assert set(found["TYPE"]) == {"F"} and found["HEIGHT"] == ["1"]
        assert found["POINTS"] == found["WIDTH"]
        n, columns = int(found["POINTS"][0]), zip(found["FIELDS"], found["SIZE"], strict=True)
        dtype = np.dtype([(name, f"<f{size}") for name, size in columns])
    else:
        assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
        words = [line.split() for line in lines]
        n = next(int(w[2]) for w in words if w[:2] == ["element", "vertex"])
        kinds = {"float": "<f4", "double": "<f8"}
        dtype = np.dtype([(w[2], kinds[w[1]]) for w in words if w[0] == "property"])
    assert len(body) == n * dtype.itemsize
    return np.frombuffer(body, dtype)


@pytest.mark.parametrize("suffix", [".pcd", ".ply"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_files_hold_the_points(tmp_path, suffix, offset):
    points, intensity = cloud(1, 50)
    points = points.astype(np.float64) + offset
    write_points(tmp_path / f"map{suffix}", points, intensity)
    rows = read(tmp_path / f"map{suffix}")
    assert rows["x"].dtype == ("<f8" if offset else "<f4")
    found = np.stack([rows[name] for name in "xyz"], axis=1)
    np.testing.assert_allclose(found, points, atol=1e-6)
    np.testing.assert_array_equal(rows["intensity"], intensity)


@pytest.mark.parametrize("suffix", [".pcd", ".ply"])
def test_files_without_intensity_or_points(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    write_points(path, np.zeros((0, 3)))
    assert read(path).dtype.names == ("x", "y", "z")


def test_other_suffix(tmp_path):
    with pytest.raises(KdmosError, match=r"\.pcd or \.ply"):
        write_points(tmp_path / "map.las", np.zeros((1, 3)))
    assert not list(tmp_path.iterdir())
