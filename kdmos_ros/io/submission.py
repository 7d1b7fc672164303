"""The archive that the SemanticKITTI-MOS benchmark takes, and the checks that it makes first.

The checks are those of validate_submission.py of the SemanticKITTI API (Behley et al., ICCV 2019):
the archive's name, its folders with entries of their own, and one label a point for every scan.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.folder_sources import SEMANTICKITTI_SPLITS

BENCHMARK_SEQUENCES = SEMANTICKITTI_SPLITS["test"]
_LABEL_BYTES = 4


def write_archive(folder: Path, sequences: Collection[str], target: Path) -> None:
    """Pack FOLDER/sequences/XX/predictions/*.label; equal predictions give equal archives.

    Raises:
        KdmosError: nothing there, or the archive cannot be written.
    """
    with (
        new_file(target) as scratch,
        zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr(_entry("sequences/"), b"")
        for sequence in sorted(sequences):
            inside = f"sequences/{sequence}/predictions/"
            files = sorted((folder / inside).glob("*.label"))
            if not files:
                raise KdmosError(f"no predictions in {folder / inside}")
            archive.writestr(_entry(f"sequences/{sequence}/"), b"")
            archive.writestr(_entry(inside), b"")
            for file in files:
                archive.writestr(_entry(inside + file.name), file.read_bytes())


def check_archive(path: Path, expected: Mapping[str, Mapping[str, int]]) -> None:
    """Check an archive as the benchmark does.

    Args:
        expected: for each sequence its scans' names and their numbers of points.

    Raises:
        KdmosError: names the first thing that is wrong.
    """
    if path.suffix != ".zip":
        raise KdmosError(f"{path}: the name of a submission must end in .zip")
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise KdmosError(f"cannot read {path}: {error}") from error
    for sequence, scans in expected.items():
        inside = f"sequences/{sequence}/predictions/"
        for entry in ("sequences/", f"sequences/{sequence}/", inside):
            if entry not in sizes:
                raise KdmosError(f"{path}: the folder {entry} is missing")
        for scan, points in scans.items():
            label = f"{inside}{scan}.label"
            if label not in sizes:
                raise KdmosError(f"{path}: {label} is missing")
            if sizes[label] != points * _LABEL_BYTES:
                raise KdmosError(
                    f"{path}: {label} has {sizes[label] // _LABEL_BYTES} labels, but the scan has"
                    f" {points} points"
                )


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # of 1980: no time of its own
    entry.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
    entry.external_attr = (0o40755 << 16) | 0x10 if name.endswith("/") else 0o100644 << 16
    return entry
