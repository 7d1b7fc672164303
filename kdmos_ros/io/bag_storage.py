"""Opens the files of a bag: as a whole where it is one, else file by file, as far as they go."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from kdmos_ros.errors import KdmosError
from kdmos_ros.io import packet_file, zstd
from kdmos_ros.io.cloud_file import suffix_of
from kdmos_ros.io.cloud_folder import NO_POSES, clouds_in, read_cloud_folder
from kdmos_ros.io.cut_mcap import CutMcap
from kdmos_ros.io.cut_sqlite import CutSqlite
from kdmos_ros.io.folder_bag import folder_bag
from kdmos_ros.io.mcap_records import profile_of
from kdmos_ros.io.message_types import typestore
from kdmos_ros.io.ros1_bag import Ros1Bag

_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_log = logging.getLogger(__name__)


class BagError(KdmosError):
    """A bag that cannot be read or written."""


class Storage(NamedTuple):
    """The opened files of a bag in the order of recording, and what is to be said of them.

    Attributes:
        readers: each with `connections` and `messages(connections)`, as rosbags' Reader.
        cut: files that have lost their end; `remedy` is a command that makes them whole.
        about: what was found where there is no bag but files of clouds, one line.
        no_poses: why there is no odometry, if there is none; empty: nothing is known.
        misfits: what is wrong with files of poses that do not go with the clouds; or empty.
    """

    readers: list[Any]
    cut: list[Path]
    about: str = ""
    no_poses: str = ""
    misfits: str = ""


def open_storage(path: Path, stack: ExitStack) -> Storage:
    """Open a bag.

    Args:
        path: bag directory, its metadata.yaml, a .mcap or .db3 file, one of these in zstd, the
            .bag of ROS 1, a .pcap or .osf file, or a folder of .pcd, .ply or .bin clouds.
        stack: closes the files.

    Raises:
        BagError: nothing there, not a bag, or not one message of it can be read.
    """
    path = _bag_path(path)
    if path.suffix.lower() in packet_file.SUFFIXES:
        opened = packet_file.open_packet_file(path)
        return Storage([opened.bag], [], opened.about, opened.no_poses)
    if not path.is_dir():
        return _open_files(path, [path], stack, None)
    why = None
    if (path / "metadata.yaml").is_file():
        try:
            return Storage([_library(path, stack)], [])
        except Exception as error:  # the library raises whatever the broken bytes lead to
            if "erialization format" in str(error):
                raise unreadable(path, error) from error
            why = error
    files = [] if any(storage_suffix(p) for p in path.iterdir()) else clouds_in(path)
    if files and why is None:
        folder = read_cloud_folder(path, files)
        return Storage([folder_bag(folder)], [], folder.about, NO_POSES, folder.misfits)
    return _open_files(path, _splits(path, why), stack, why)


def unreadable(path: Path, error: BaseException) -> BagError:
    """The error for a bag that the library cannot read; a guess only where it can be so."""
    told = isinstance(error, OSError) or isinstance(error.__cause__, OSError)
    text = first_line(error)
    if told or "not supported" in text or "not in timestamp order" in text:
        return BagError(f"cannot read bag {path}: {text}")
    return BagError(f"cannot read bag {path}: {text} (damaged, or its recording was cut off?)")


def first_line(error: BaseException) -> str:
    """The error's first line, or its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def storage_suffix(path: Path) -> str:
    """The suffix of a bag's file, .zstd included; empty for other files."""
    return next((s for s in _SUFFIXES if path.name.endswith(s)), "")


def remedy(file: Path) -> str:
    """The command that makes a whole file of one that was cut off."""
    if ".mcap" in file.suffixes:
        return f"mcap recover {file.name} -o whole.mcap"
    return f"sqlite3 {file.name} .recover | sqlite3 whole.db3"


def _bag_path(path: Path) -> Path:
    if not path.exists():
        raise BagError(f"no such bag: {path}")
    if path.is_dir():
        return path
    if path.name == "metadata.yaml":
        return path.parent
    if suffix_of(path):
        raise BagError(f"{path} is one cloud; name its folder: {path.parent}")
    if not storage_suffix(path) and path.suffix not in (".bag", *packet_file.SUFFIXES):
        raise BagError(f"not a rosbag2: {path} (no bag directory, .mcap, .db3 or .bag file)")
    return path


def _splits(path: Path, why: Exception | None) -> list[Path]:
    """The files of a bag directory in order, without the help of metadata.yaml."""
    files = sorted((p for p in path.iterdir() if storage_suffix(p)), key=_place)
    if not files:
        if why is not None:
            raise unreadable(path, why) from why
        inner = sorted(p.parent for p in path.glob("*/metadata.yaml"))
        hint = f"; did you mean {inner[0]}?" if inner else ""
        raise BagError(f"not a rosbag2: {path} (no metadata.yaml in it){hint}")
    if len({_place(p)[0] for p in files}) > 1:
        raise BagError(
            f"{path} has no metadata.yaml and several recordings; run `ros2 bag reindex {path}`,"
            f" or name one file: {', '.join(p.name for p in files)}"
        )
    if why is not None:
        _warn(f"{path}/metadata.yaml is not used: {first_line(why)}")
    return files


def _place(file: Path) -> tuple[str, int]:
    """Name of the recording and number of the split: name_12.mcap."""
    stem = file.name.removesuffix(storage_suffix(file))
    numbered = re.fullmatch(r"(.*)_(\d+)", stem)
    return (numbered[1], int(numbered[2])) if numbered else (stem, -1)


def _open_files(path: Path, files: list[Path], stack: ExitStack, why: Exception | None) -> Storage:
    storage = Storage([], [])
    failed: Exception | None = None
    for file in files:
        try:
            reader, whole = _open_file(file, stack)
        except BagError:
            raise
        except Exception as error:  # zstd, sqlite, struct, ...: nothing of it can be read
            failed = failed or error
            storage.cut.append(file)
            continue
        storage.readers.append(reader)
        if not whole:
            storage.cut.append(file)
    if not storage.readers:
        reason = failed or why
        assert reason is not None  # there is a file at least
        raise unreadable(path, reason) from reason
    return storage


def _open_file(file: Path, stack: ExitStack) -> tuple[Any, bool]:
    """A reader of one file, and whether the file is whole."""
    whole = True
    if file.suffix == ".zstd":
        folder = Path(stack.enter_context(TemporaryDirectory()))
        unpacked = folder / file.stem
        whole = zstd.decompress_file(file, unpacked)
        file = unpacked
    if file.suffix == ".bag":
        return stack.enter_context(Ros1Bag(file, typestore())), True
    if file.suffix == ".mcap" and (other := profile_of(file)) not in (None, "ros2"):
        raise _of_another_kind(file, other)
    try:
        return _library(file, stack), whole
    except Exception as error:
        try:
            return _cut(file, stack), False
        except Exception:  # the first reason is the better one
            raise error from error.__cause__


def _library(path: Any, stack: ExitStack) -> Any:
    from rosbags.rosbag2 import Reader

    reader = Reader(path)
    reader.open()
    stack.callback(reader.close)
    return reader


def _cut(file: Path, stack: ExitStack) -> Any:
    if file.suffix == ".db3":
        return stack.enter_context(CutSqlite(file))
    status = file.stat()
    mended = _mended(file, status.st_size, status.st_mtime_ns)
    if not mended.n_messages:
        raise ValueError(f"{file} has no whole message")
    return _library(mended, stack)


@lru_cache(maxsize=4)
def _mended(file: Path, _size: int, _mtime_ns: int) -> CutMcap:
    return CutMcap(file)


def _of_another_kind(file: Path, profile: str | None) -> BagError:
    if profile == "ros1":
        return BagError(
            f"{file} is an MCAP file of ROS 1, which is not read; the .bag that it was made from is"
        )
    kind = f"of profile {profile!r}" if profile else "without a profile, as Foxglove writes them"
    return BagError(
        f"{file} is an MCAP file {kind}, not a recording of ROS 2: play it through a bridge to"
        " ROS 2, record with `ros2 bag record`, and use that"
    )


@lru_cache(maxsize=256)
def _warn(text: str) -> None:
    """Say it once, however often the bag is opened."""
    _log.warning(text)


def warn_of_cut(storage: Storage, n_clouds: int, n_messages: int) -> None:
    """One line for each bag that has files without their end."""
    if storage.cut:
        names = ", ".join(str(file) for file in storage.cut)
        _warn(
            f"{names}: cut off, or damaged; what can be read of the bag is used, {n_clouds} clouds"
            f" in {n_messages} messages (`{remedy(storage.cut[0])}` may find more)"
        )
