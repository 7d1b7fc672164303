"""Scores a model on the drives of a data set: one confusion over all of them, as the benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.bag_evaluation import Report
from kdmos_ros.evaluation.metrics import ConfusionAccumulator
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation


class Segments(Protocol):
    """What is needed of a Segmenter."""

    def reset(self) -> None: ...

    def set_mount(self, base_T_sensor: npt.NDArray[np.float64]) -> None: ...

    def push(self, scan: Scan) -> Segmentation: ...


Pushed = tuple[LabelledScan, Segmentation, float]
"""A scan, its labels, and the milliseconds of the push."""


def evaluate_source(
    source: Source,
    segmenter: Segments,
    report: Report,
    on_scan: Callable[[LabelledScan, npt.NDArray[np.uint8]], None] = lambda scan, labels: None,
    limit: int | None = None,
    watch: Callable[[Iterable[LabelledScan]], Iterable[LabelledScan]] = lambda scans: scans,
    finished: Callable[[Iterator[Pushed]], Iterator[Pushed]] = lambda pushed: pushed,
) -> None:
    """Label a drive from its start and add the results to the report.

    Args:
        segmenter: is reset first, and gets the source's mount if the source knows one.
        on_scan: called with every scan and its predicted classes (N,) uint8.
        limit: first scans only.
        watch: passes the scans on, e.g. `progress`.
        finished: passes scans on when their labels are there; of a `lookahead.Promised`.

    Raises:
        KdmosError: a file is missing or broken.
    """
    segmenter.reset()
    if source.base_T_sensor is not None:
        segmenter.set_mount(source.base_T_sensor)
    part = ConfusionAccumulator()
    report.stamps.begin()
    report.objects.begin()
    for sample, result, total in finished(
        _push_all(source, segmenter, watch(islice(source, limit)))
    ):
        report.latency.add({**result.timings_ms, "total": total})
        report.stamps.add(sample.scan.stamp_ns)
        report.scans += 1
        report.points += len(sample.labels)
        part.add_classes(sample.labels, result.labels)
        report.breakdown.add(
            sample.name,
            sample.scan.points,
            sample.labels,
            result.labels,
            sample.kind,
            sample.speed,
        )
        report.objects.add(
            sample.scan.points,
            sample.labels,
            result.labels,
            sample.kind,
            sample.speed,
            sample.instance,
        )
        on_scan(sample, result.labels)
    report.sequences[source.name] = part
    if source.sensor:
        report.sensors.setdefault(source.sensor, ConfusionAccumulator()).merge(part)
    report.confusion.merge(part)


def _push_all(
    source: Source, segmenter: Segments, scans: Iterable[LabelledScan]
) -> Iterator[Pushed]:
    for sample in scans:
        start = time.perf_counter()
        try:
            result = segmenter.push(sample.scan)
        except ValueError as error:
            raise KdmosError(f"{source.where}: {error}") from error
        yield sample, result, (time.perf_counter() - start) * 1e3
