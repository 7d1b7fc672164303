"""Archives for the benchmark: what it would refuse is said by name."""

import zipfile

import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.submission import check_archive, write_archive

EXPECTED = {"11": {"000000": 3, "000001": 2}, "12": {"000000": 1}}


@pytest.fixture
def folder(tmp_path):
    for sequence, scans in EXPECTED.items():
        inside = tmp_path / "sequences" / sequence / "predictions"
        inside.mkdir(parents=True)
        for scan, points in scans.items():
            (inside / f"{scan}.label").write_bytes(bytes(4 * points))
    return tmp_path


def test_a_good_archive(folder):
    for name in ("a.zip", "b.zip"):
        write_archive(folder, EXPECTED, folder / name)
        check_archive(folder / name, EXPECTED)
    assert (folder / "a.zip").read_bytes() == (folder / "b.zip").read_bytes()
    with zipfile.ZipFile(folder / "a.zip") as archive:
        assert archive.testzip() is None
        assert [n for n in archive.namelist() if n.endswith("/")] == [
            "sequences/", "sequences/11/", "sequences/11/predictions/", "sequences/12/",
            "sequences/12/predictions/",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected", "message"),
    [
        ("a.zip", {"13": {}}, "the folder sequences/13/ is missing"),
        ("a.zip", {"11": {"000007": 1}}, r"11/predictions/000007\.label is missing"),
        ("a.zip", {"11": {"000000": 4}}, r"000000\.label has 3 labels, but the scan has 4 points"),
        ("a.tar", EXPECTED, "must end in .zip"),
    ],
)
def test_what_is_wrong_is_named(folder, name, expected, message):
    write_archive(folder, EXPECTED, folder / name)
    with pytest.raises(KdmosError, match=message):
        check_archive(folder / name, expected)


def test_folders_need_entries_of_their_own(folder):
    """The official check looks for them; `zip -r` writes them, but zipfile does not by itself."""
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("sequences/11/predictions/000000.label", bytes(12))
    with pytest.raises(KdmosError, match="folder sequences/ is missing"):
        check_archive(folder / "a.zip", EXPECTED)


def test_no_archive(folder):
    with pytest.raises(KdmosError, match=r"cannot read .*none\.zip"):
        check_archive(folder / "none.zip", EXPECTED)
    with pytest.raises(KdmosError, match=r"no predictions in .*14/predictions"):
        write_archive(folder, ["14"], folder / "a.zip")
    assert not (folder / "a.zip").exists()
