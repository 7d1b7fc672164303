"""Point files of every kind, read back."""

import numpy as np
import pytest
from point_file_harness import read

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.copc_file import octree
from kdmos_ros.io.point_file import MapPoints, colours_by_height, write_map, write_points


def a_map(offset=0.0, n=50):
    rng = np.random.default_rng(1)
    points = rng.normal(0, 3, (n, 3)) + offset
    normals = rng.normal(0, 1, (n, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (n, 3)).astype(np.uint8)
    return MapPoints(points, rng.uniform(size=n).astype(np.float32), normals, rgb)


@pytest.mark.parametrize("suffix", [".pcd", ".ply"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_files_hold_the_points(tmp_path, suffix, offset):
    cloud = a_map(offset)
    write_map(tmp_path / f"map{suffix}", cloud)
    rows = read(tmp_path / f"map{suffix}")
    assert rows["x"].dtype == ("<f8" if offset else "<f4")
    found = np.stack([rows[name] for name in "xyz"], axis=1)
    np.testing.assert_allclose(found, cloud.points, atol=1e-6)
    np.testing.assert_array_equal(rows["intensity"], cloud.intensity)
    prefix = "n" if suffix == ".ply" else "normal_"
    found = np.stack([rows[prefix + name] for name in "xyz"], axis=1)
    np.testing.assert_array_equal(found, cloud.normals)
    if suffix == ".ply":
        found = np.stack([rows[name] for name in ("red", "green", "blue")], axis=1)
    else:
        found = np.stack([rows["rgb"] >> shift & 255 for shift in (16, 8, 0)], axis=1)
    np.testing.assert_array_equal(found, cloud.rgb)


@pytest.mark.parametrize("suffix", [".pcd", ".ply"])
def test_files_without_intensity_or_points(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    write_points(path, np.zeros((0, 3)))
    assert read(path).dtype.names == ("x", "y", "z")


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_las(tmp_path, suffix, offset):
    laspy = pytest.importorskip("laspy", reason="laspy is not installed")
    cloud = a_map(offset)
    write_map(tmp_path / f"map{suffix}", cloud)
    las = laspy.read(tmp_path / f"map{suffix}")
    assert las.header.are_points_compressed == (suffix == ".laz")
    np.testing.assert_allclose(las.xyz, cloud.points, atol=0.00051)
    np.testing.assert_allclose(las.intensity / 65535, cloud.intensity, atol=2e-5)
    for axis, name in enumerate(("NormalX", "NormalY", "NormalZ")):
        np.testing.assert_array_equal(las[name], cloud.normals[:, axis])
    for column, name in enumerate(("red", "green", "blue")):
        np.testing.assert_array_equal(las[name] // 257, cloud.rgb[:, column])


def test_las_without_intensity_or_points(tmp_path):
    laspy = pytest.importorskip("laspy", reason="laspy is not installed")
    write_points(tmp_path / "map.las", np.ones((3, 3)))
    las = laspy.read(tmp_path / "map.las")
    np.testing.assert_array_equal(las.xyz, np.ones((3, 3)))
    names = set(las.point_format.dimension_names)
    assert not names & {"red", "NormalX"}
    write_points(tmp_path / "none.laz", np.zeros((0, 3)))
    assert len(laspy.read(tmp_path / "none.laz").points) == 0


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_copc(tmp_path, offset):
    laspy = pytest.importorskip("laspy", reason="laspy is not installed")
    pytest.importorskip("copclib", reason="copclib is not installed")
    cloud = a_map(offset, n=2000)
    write_map(tmp_path / "map.copc.laz", cloud)
    write_map(tmp_path / "map.las", cloud)
    whole = laspy.read(tmp_path / "map.las")
    with laspy.CopcReader.open(tmp_path / "map.copc.laz") as reader:
        found, coarse = reader.query(), reader.query(level=0)
    assert 0 < len(coarse) < len(found) == 2000
    assert columns(found) == columns(whole)
    write_points(tmp_path / "none.copc.laz", np.zeros((0, 3)))
    assert len(laspy.read(tmp_path / "none.copc.laz").points) == 0


def columns(las):
    """Points in some order."""
    values = (las.X, las.Y, las.Z, las.intensity, las.red, las.green, las.blue)
    return sorted(zip(*(np.asarray(v).tolist() for v in values), strict=True))


def test_each_point_is_in_one_node_of_the_octree():
    rng = np.random.default_rng(0)
    share = np.concatenate([rng.uniform(0, 1, (500, 3)), np.full((40, 3), 0.75)])
    nodes = octree(share)
    np.testing.assert_array_equal(np.sort(np.concatenate([r for _, r in nodes])), range(540))
    assert len({key for key, _ in nodes}) == len(nodes)
    for (depth, *cell), rows in nodes:
        assert (np.floor(share[rows] * 2**depth) == cell).all()
    assert octree(share[:0]) == []


def test_other_suffix(tmp_path):
    with pytest.raises(KdmosError, match=r"\.pcd, \.ply, \.las or \.laz"):
        write_points(tmp_path / "map.xyz", np.zeros((1, 3)))
    assert not list(tmp_path.iterdir())


def test_colours_rise_with_height():
    points = np.column_stack([np.zeros((101, 2)), np.linspace(-2, 8, 101)])
    rgb = colours_by_height(points).astype(int)
    assert rgb[0].argmax() == 2 and rgb[50].argmax() == 1 and rgb[-1].argmax() == 0
    assert colours_by_height(points[:0]).shape == (0, 3)
