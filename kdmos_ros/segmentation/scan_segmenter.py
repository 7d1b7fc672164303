"""What pipelines, recordings and evaluation ask of a segmenter: scans in, futures of labels out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Protocol, TypeVar

from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation

Item = TypeVar("Item")


class ScanSegmenter(Protocol):
    """Labels scans in their order, at once or later."""

    def push(self, scan: Scan) -> Future[Segmentation]:
        """Take the newest scan.

        The future may be done already. It holds an error if the scan cannot be labelled after all;
        cancel it to do without the labels.

        Raises:
            ValueError: the stamp is not newer than the last one's (reset first).
        """

    def flush(self) -> None:
        """Label all scans that still wait for later ones, from what there is."""

    def reset(self) -> None:
        """Flush, then forget all scans; the next one starts afresh."""


def finished(
    pending: Iterable[tuple[Item, Future[Segmentation] | None]], segmenter: ScanSegmenter
) -> Iterator[tuple[Item, Segmentation | None]]:
    """Items in their order, each with its labels, as soon as those are there.

    Args:
        pending: items, each with what `segmenter.push` gave for it, or None if nothing was pushed.

    Raises:
        Exception: whatever a future holds, when its turn comes.
    """
    waiting: deque[tuple[Item, Future[Segmentation] | None]] = deque()
    for one in pending:
        waiting.append(one)
        while waiting and ((first := waiting[0][1]) is None or first.done()):
            yield _with_result(*waiting.popleft())
    segmenter.flush()
    while waiting:
        yield _with_result(*waiting.popleft())


def _with_result(
    item: Item, future: Future[Segmentation] | None
) -> tuple[Item, Segmentation | None]:
    return item, None if future is None else future.result()
