"""Teacher logits on disk: made once, float16, tied to the very points that they belong to.

One .npz a drive, beside a hash of each scan's points: logits that do not belong to a scan are an
error that names it, never a silent mix-up. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.labels import CLASS_NAMES

Float16 = npt.NDArray[np.float16]
N_CLASSES = len(CLASS_NAMES)
_LARGEST = 6e4  # float16 ends at 65504
_DIGEST_BYTES = 16


def digest(points: npt.NDArray[np.float32]) -> bytes:
    """Hash of the points (N, 3) of a scan as stored in its drive."""
    content = np.ascontiguousarray(points, "<f4").tobytes()
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True)
class LogitsFolder:
    """A folder with one file of logits for each drive, under its name.

    Attributes:
        path: the folder.
        source: what made them, such as the hash of a teacher's weights; other logits are refused.
    """

    path: Path
    source: str

    def file(self, name: str) -> Path:
        """Where the logits of the drive of that name are."""
        return self.path / f"{name}.npz"

    def has(self, name: str) -> bool:
        """Whether there is a readable file of this source. Its scans are not checked."""
        try:
            with open(self.file(name), "rb") as raw, np.load(raw, allow_pickle=False) as file:
                return str(file["source"]) == self.source
        except (OSError, ValueError, MemoryError, KeyError, EOFError, zipfile.BadZipFile):
            return False

    def write(self, drive: LabelledDrive, name: str, logits: list[npt.NDArray]) -> None:  # type: ignore[type-arg]
        """Write the logits, one (N, C) float array a scan; NaN rows mean no opinion.

        Raises:
            KdmosError: a scan's logits are not one row a point or not one column a class.
        """
        for labelled, rows in zip(drive.scans, logits, strict=True):
            _check_shape(rows, len(labelled.labels), _scan_name(labelled))
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.file(name)
        temporary = target.with_suffix(f".{os.getpid()}.part.npz")
        whole = np.concatenate([np.empty((0, N_CLASSES), np.float32), *logits])
        np.savez(
            temporary,
            logits=np.clip(whole, -_LARGEST, _LARGEST).astype(np.float16),
            count=np.array([len(rows) for rows in logits], np.int64),
            stamp_ns=np.array([s.scan.stamp_ns for s in drive.scans], np.int64),
            digest=np.frombuffer(
                b"".join(digest(s.scan.points) for s in drive.scans), np.uint8
            ).reshape(-1, _DIGEST_BYTES),
            drive=np.array(target.name),
            source=np.array(self.source),
        )
        os.replace(temporary, target)

    def attach(self, drive: LabelledDrive, name: str) -> LabelledDrive:
        """The drive of that name with its teacher's logits.

        Args:
            drive: as loaded, unchanged.

        Raises:
            KdmosError: they are missing, unreadable, of another teacher or of other points; names
                the scan.
        """
        path = self.file(name)
        content = _load(path, self.source, drive)
        ends = np.cumsum(content["count"])
        scans = []
        for i, labelled in enumerate(drive.scans):
            if i >= len(ends):
                raise KdmosError(f"{path}: no teacher logits of {_scan_name(labelled)}")
            rows = content["logits"][ends[i] - content["count"][i] : ends[i]]
            same = (
                content["stamp_ns"][i] == labelled.scan.stamp_ns
                and len(rows) == len(labelled.labels)
                and content["digest"][i].tobytes() == digest(labelled.scan.points)
            )
            if not same:
                raise KdmosError(
                    f"{path}: the teacher logits are not of {_scan_name(labelled)}: other points"
                )
            scans.append(dataclasses.replace(labelled, logits=rows))
        return dataclasses.replace(drive, scans=scans)


def _load(path: Path, wanted: str, drive: LabelledDrive) -> dict[str, npt.NDArray]:  # type: ignore[type-arg]
    first = _scan_name(drive.scans[0]) if drive.scans else path.stem
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        if content["logits"].shape != (int(content["count"].sum()), N_CLASSES):
            raise ValueError("logits and their counts do not fit")
        if not len(content["count"]) == len(content["stamp_ns"]) == len(content["digest"]):
            raise ValueError("lists of unequal length")
        drive_name, source = str(content["drive"]), str(content["source"])
    except FileNotFoundError:
        raise KdmosError(f"{path}: no teacher logits of {first} and on") from None
    except (OSError, ValueError, MemoryError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise KdmosError(f"{path}: unreadable teacher logits of {first}: {error}") from error
    if (drive_name, source) != (path.name, wanted):
        raise KdmosError(
            f"{path}: the teacher logits of {first} are those of {drive_name} by {source}, "
            f"wanted by {wanted}; run the logits stage again"
        )
    return content


def import_logits(folder: Path, drive: LabelledDrive) -> list[Float16]:
    """Logits of another program: NAME_INDEX.npy of (N, C) floats, as KDMOS's code writes them.

    Args:
        folder: holds the files; NAME/INDEX is the name of a scan: sequence and number, or drive
            file and position. INDEX with or without leading zeros (six digits).

    Returns:
        One (N, C) float16 array a scan.

    Raises:
        KdmosError: a file is missing, unreadable, of the wrong shape or not finite; names the
            scan.
    """
    result = []
    for labelled in drive.scans:
        name = _scan_name(labelled)
        sequence, _, number = labelled.name.rpartition("/")
        short = number.lstrip("0") or "0"
        candidates = [folder / f"{sequence}_{index}.npy" for index in (number, short)]
        path = next((c for c in candidates if c.exists()), None)
        if path is None:
            raise KdmosError(f"{candidates[0]}: no teacher logits of {name}")
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, MemoryError, EOFError) as error:
            raise KdmosError(f"{path}: unreadable teacher logits of {name}: {error}") from error
        _check_shape(values, len(labelled.labels), f"{path}, {name}")
        if not np.isfinite(values).all():
            raise KdmosError(f"{path}: teacher logits of {name} are not finite")
        result.append(np.clip(values, -_LARGEST, _LARGEST).astype(np.float16))
    return result


def _check_shape(values: npt.NDArray, n_points: int, name: str) -> None:  # type: ignore[type-arg]
    if values.shape != (n_points, N_CLASSES) or values.dtype.kind != "f":
        raise KdmosError(
            f"{name}: teacher logits are {values.dtype} {values.shape}, "
            f"expected floats ({n_points}, {N_CLASSES})"
        )


def _scan_name(labelled: LabelledScan) -> str:
    return f"{labelled.name} (stamp {labelled.scan.stamp_ns})"
