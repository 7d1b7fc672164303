"""The whole online method, free of ROS: push a scan with its pose, get a label for each point."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdmos_ros.defaults import AUTO
from kdmos_ros.features.extractor import FeatureExtractor, FeatureFrame
from kdmos_ros.features.history import PastScan
from kdmos_ros.features.own_body import OwnBody
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.inference.engine import Engine
from kdmos_ros.inference.model import ModelSpec, find_model
from kdmos_ros.labels import MOVING, STATIC, UNLABELLED
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.hysteresis import evidence_of_motion
from kdmos_ros.segmentation.read_out import NO_EVIDENCE, gather
from kdmos_ros.thread_pool import Threads, thread_count

Labels = npt.NDArray[np.uint8]
Probability = npt.NDArray[np.float32]
STAGES = ("residual", "features", "encoder", "scatter", "bev", "gather")


@dataclass(frozen=True)
class Segmentation:
    """Labels of one scan, in the order of its points.

    Attributes:
        labels: (N,) uint8 of kdmos_ros.labels; UNLABELLED outside the grid and without a return.
        moving_probability: (N,) float32 in 0..1; 0 where unlabelled. A point is MOVING from the
            model's threshold on; also below it, if it is connected with one that is above. The own
            vehicle's returns (see `own_body`) never are, and have 0.
        stamp_ns: the scan's stamp.
        timings_ms: milliseconds by stage, see STAGES.
    """

    labels: Labels
    moving_probability: Probability
    stamp_ns: int
    timings_ms: dict[str, float]

    @staticmethod
    def unlabelled(n_points: int, stamp_ns: int) -> Segmentation:
        """That of a scan of which nothing is known: label and probability 0."""
        labels, probability = np.zeros(n_points, np.uint8), np.zeros(n_points, np.float32)
        return Segmentation(labels, probability, stamp_ns, {})


@dataclass(frozen=True)
class Question:
    """What the networks are asked about one scan: its features, and what they took so far.

    `own_body` are the rows that the own vehicle returned, (K,) int64.
    """

    frame: FeatureFrame
    stamp_ns: int
    timings_ms: dict[str, float]
    own_body: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def default_model() -> Path:
    """The folder of the model that is used unless another one is named."""
    return find_model()


class Segmenter:
    """Online moving-object segmentation. Output depends on this scan and earlier ones only.

    With later scans too, and as what pipelines use: `online_segmenter`.

    Args:
        model: a model folder, or the name of a shipped model.
        provider, num_threads, precision, provider_options: see Engine.
        mount: (4, 4) T_base_sensor of scans that do not know theirs; None: level, at the height
            that the model was made for.
        footprint: outline of the own vehicle, see `own_body.OwnBody`.

    Raises:
        ModelError: the model cannot be used.
        KdmosError: the footprint cannot be read.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        provider: str = "auto",
        num_threads: int = 0,
        mount: npt.NDArray[np.float64] | None = None,
        precision: str = "auto",
        provider_options: str = "",
        footprint: str = AUTO,
    ) -> None:
        threads = Threads(thread_count(num_threads))
        self._engine = Engine(
            find_model(model), provider, num_threads, precision, provider_options, threads
        )
        if mount is None:
            mount = make_transform(np.eye(3), [0, 0, self.spec.sensor_height_m])
        self._own_body = OwnBody(footprint, mount)
        self._extractor = FeatureExtractor(
            self.spec.grid, self.spec.features, mount, threads=threads
        )

    @property
    def spec(self) -> ModelSpec:
        """The model's specification."""
        return self._engine.spec

    @property
    def model_name(self) -> str:
        """The model's name."""
        return self.spec.name

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the execution provider in use."""
        return self._engine.provider

    @property
    def precision(self) -> str:
        """Precision of the grid network in use, one of defaults.PRECISIONS."""
        return self._engine.precision

    @property
    def fell_back(self) -> bool:
        """True if another provider was asked for by name."""
        return self._engine.fell_back

    @property
    def note(self) -> str:
        """One line to log about the provider in use, or ""."""
        return self._engine.note

    def reset(self) -> None:
        """Forget all past scans; the next one starts afresh."""
        self._extractor.reset()
        self._own_body.reset()

    def warm_up(self) -> None:
        """Compile and allocate everything now, so that the first scan is not late."""
        if self._engine.on_device is not None:
            self._engine.on_device.warm_up()
        rng = np.random.default_rng(0)
        for i in range(2):
            points = rng.uniform(-20, 20, (1000, 3)).astype(np.float32)
            stamp = round(i * self.spec.features.visibility.lags_s[0] * 1e9)
            self.push(Scan(points, None, stamp, np.eye(4)))
        self.reset()

    def as_later(self, scan: Scan) -> PastScan:
        """A scan as those before it are compared with it; it is not pushed."""
        return self._extractor.as_later(scan)

    def push(
        self, scan: Scan, later: Sequence[PastScan] = (), view: PastScan | None = None
    ) -> Segmentation:
        """Label the newest scan.

        Args:
            later: scans after it, as far as they are known; see `as_later`.
            view: what that has made of this scan, if it has.

        Raises:
            ValueError: its stamp is not newer than the last one's (reset first).
        """
        return self.answer(self.ask(scan, later, view))

    def ask(
        self, scan: Scan, later: Sequence[PastScan] = (), view: PastScan | None = None
    ) -> Question:
        """The first half of `push`, which must see the scans in their order: the features."""
        timings: dict[str, float] = {}
        frame = self._extractor.push(scan, timings, later, view)
        start = time.perf_counter()
        own_body = self._own_body.rows(scan)
        timings["features"] += (time.perf_counter() - start) * 1e3
        return Question(frame, scan.stamp_ns, timings, own_body)

    def answer(self, question: Question) -> Segmentation:
        """The second half of `push`: the networks. May be another segmenter of the same model."""
        frame, timings = question.frame, dict(question.timings_ms)
        labels = np.full(frame.n_points, UNLABELLED, np.uint8)
        probability = np.zeros(frame.n_points, np.float32)
        labels[frame.overhead] = STATIC
        on_device = self._engine.on_device
        if len(frame.index) and on_device is not None:
            answer = on_device.run(frame, self.spec.moving_threshold, timings)
            labels[frame.index], probability[frame.index] = answer
        elif len(frame.index):
            read = self._engine.run(frame, timings)
            start = time.perf_counter()
            if not frame.n_past:
                read.logits[..., MOVING] = NO_EVIDENCE
            gather(
                read.logits,
                read.query,
                read.key,
                frame.slot,
                frame.z_bin,
                frame.index,
                self.spec.moving_threshold,
                labels,
                probability,
            )
            timings["gather"] = (time.perf_counter() - start) * 1e3
        own = question.own_body
        probability[own] = 0
        labels[own[labels[own] == MOVING]] = STATIC
        if len(frame.index) and self.spec.connected_threshold is not None:
            start = time.perf_counter()
            self._label_connected(frame, labels, probability[frame.index])
            timings["gather"] += (time.perf_counter() - start) * 1e3
        return Segmentation(labels, probability, question.stamp_ns, timings)

    def _label_connected(self, frame: FeatureFrame, labels: Labels, own: Probability) -> None:
        """Calls MOVING, in labels (N,), what is connected with moving points; own: (P,)."""
        low, high = self.spec.connected_threshold, np.float32(self.spec.moving_threshold)
        moves = evidence_of_motion(own, frame.cell, self.spec.grid, low) >= high
        labels[frame.index[moves]] = MOVING
