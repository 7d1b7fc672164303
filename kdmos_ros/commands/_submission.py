"""The part of `kdmos eval` that packs predictions for the benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kdmos_ros.errors import KdmosError

if TYPE_CHECKING:
    from kdmos_ros.io.samples import Source

ARCHIVE = "submission.zip"


def check_packable(args: argparse.Namespace, sources: list[Source]) -> None:
    """Before anything is run.

    Raises:
        KdmosError: --zip makes no sense here.
    """
    from kdmos_ros.io.folder_sources import FolderSource

    if args.predictions is None:
        raise KdmosError("--zip packs predictions; name their folder with --predictions DIR")
    if args.limit is not None:
        raise KdmosError("--zip packs whole sequences; leave out --limit")
    if not sources or not all(isinstance(source, FolderSource) for source in sources):
        raise KdmosError("--zip applies to folders in SemanticKITTI layout only")


def pack(predictions: Path, sources: list[Source]) -> str:
    """Write the archive beside the predictions and check it; returns what to say about it.

    Raises:
        KdmosError: the benchmark would refuse it; the archive stays, to be looked at.
    """
    from kdmos_ros.io.folder_sources import FolderSource
    from kdmos_ros.io.submission import BENCHMARK_SEQUENCES, check_archive, write_archive

    folders = {
        source.name: source.sequence for source in sources if isinstance(source, FolderSource)
    }
    target = predictions / ARCHIVE
    write_archive(predictions, folders, target)
    expected = {
        name: {sequence.scan_name(i): sequence.size(i) for i in range(len(sequence))}
        for name, sequence in folders.items()
    }
    check_archive(target, expected)
    if set(folders) == set(BENCHMARK_SEQUENCES):
        return f"{target}: checked, ready to hand in"
    return (
        f"{target}: checked, but the benchmark wants the sequences 11 to 21, and these are"
        f" {', '.join(sorted(folders))}"
    )
