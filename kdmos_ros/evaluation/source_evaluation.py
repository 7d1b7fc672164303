"""Scores a model on the drives of a data set: one confusion over all of them, as the benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.bag_evaluation import Report
from kdmos_ros.evaluation.metrics import ConfusionAccumulator
from kdmos_ros.io.samples import LabelledScan, Source
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter, finished
from kdmos_ros.segmentation.segmenter import Segmentation


def evaluate_source(
    source: Source,
    segmenter: ScanSegmenter,
    report: Report,
    on_scan: Callable[[LabelledScan, npt.NDArray[np.uint8]], None] = lambda scan, labels: None,
    limit: int | None = None,
    watch: Callable[[Iterable[LabelledScan]], Iterable[LabelledScan]] = lambda scans: scans,
    base_T_sensor: npt.NDArray[np.float64] | None = None,
) -> None:
    """Label a drive from its start and add the results to the report.

    Args:
        segmenter: is reset first.
        on_scan: called with every scan and its predicted classes (N,) uint8.
        limit: first scans only.
        watch: passes the scans on, e.g. `progress`.
        base_T_sensor: (4, 4) mount of the sensor, where the source knows none.

    Raises:
        KdmosError: a file is missing or broken.
    """
    segmenter.reset()
    report.health.begin()
    mount = base_T_sensor if source.base_T_sensor is None else source.base_T_sensor
    part = ConfusionAccumulator()
    report.stamps.begin()
    report.objects.begin()
    pending = _pushed(source, segmenter, watch(islice(source, limit)), mount)
    for (sample, total), result in finished(pending, segmenter):
        assert result is not None
        report.health.observe(replace(sample.scan, base_T_sensor=mount), result.labels)
        report.latency.add({**result.timings_ms, "total": total})
        report.stamps.add(sample.scan.stamp_ns)
        report.scans += 1
        report.points += len(sample.labels)
        part.add_classes(sample.labels, result.labels)
        points = replace(sample.scan, base_T_sensor=mount).level_points
        report.breakdown.add(
            sample.name,
            points,
            sample.labels,
            result.labels,
            sample.kind,
            sample.speed,
        )
        report.objects.add(
            points,
            sample.labels,
            result.labels,
            sample.kind,
            sample.speed,
            sample.instance,
        )
        if report.static_map is not None:
            report.static_map.add(sample.scan, result.labels, sample.labels)
            report.static_map.scans += 1
        on_scan(sample, result.labels)
    report.sequences[source.name] = part
    if source.sensor:
        report.sensors.setdefault(source.sensor, ConfusionAccumulator()).merge(part)
    report.confusion.merge(part)


def _pushed(
    source: Source,
    segmenter: ScanSegmenter,
    scans: Iterable[LabelledScan],
    mount: npt.NDArray[np.float64] | None,
) -> Iterator[tuple[tuple[LabelledScan, float], Future[Segmentation]]]:
    """Each scan with the milliseconds of its push, and its labels to come."""
    for sample in scans:
        start = time.perf_counter()
        try:
            future = segmenter.push(replace(sample.scan, base_T_sensor=mount))
        except ValueError as error:
            raise KdmosError(f"{source.where}: {error}") from error
        yield (sample, (time.perf_counter() - start) * 1e3), future
