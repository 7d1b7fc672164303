"""Labels recordings by the teacher: a segmenter that holds each scan until its future has come.

The student's moving probability joins the teacher's. Each network has a threshold from its own
validation. What counts is the log-odds of each above its threshold: their mean where both know the
point, else that of the one which does. The student sees farther; the teacher knows the future and
the first scan. The read-out is the student's (its grid, threshold and hysteresis), followed by
hysteresis in time (`object_votes`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
import torch

from kdmos_ros.closing import Closing
from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.hysteresis import ConnectedObjects, connected_objects, raised
from kdmos_ros.segmentation.object_votes import ObjectVotes, PlacedObjects, placed
from kdmos_ros.segmentation.segmenter import Question, Segmentation, Segmenter
from kdmos_ros.train.data.teacher_window import TeacherWindows, Window, WindowJob
from kdmos_ros.train.fitting.metrics_file import METRICS_FILE, read_metrics
from kdmos_ros.train.fitting.trained_teacher import TrainedTeacher, find_teacher, read_teacher
from kdmos_ros.train.networks.folding import folded

Float32 = npt.NDArray[np.float32]

# Neither network is surer than that, so that neither overrules the other whatever it says.
_SUREST = np.float32(0.998)
# No teacher was shown the body of its own vehicle: what is so near is the student's to judge.
_NEAREST_M = 2.0


@dataclass(frozen=True)
class _Opinion:
    """What the networks make of a scan.

    Attributes:
        segmentation: without what its neighbours in time tell.
        rows: (P,) int64 points that were judged.
        objects, placed: those that may move.
    """

    segmentation: Segmentation
    rows: npt.NDArray[np.int64]
    objects: ConnectedObjects
    placed: PlacedObjects


@dataclass(frozen=True)
class _Known:
    """What the student makes of a scan of N points; little of it, since many wait.

    Attributes:
        segmentation: its answer.
        rows, cell: (P,) points in its grid, and their cells.
        own_body: (K,) rows that the own vehicle returned.
        has_past: whether there was an earlier scan to compare with.
    """

    segmentation: Segmentation
    rows: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int32]
    own_body: npt.NDArray[np.int64]
    has_past: bool


@dataclass(frozen=True)
class _Waiting:
    """A scan without an answer yet."""

    scan: Scan
    known: Future[_Known]
    answer: Future[Segmentation]


class OfflineSegmenter(Closing):
    """A ScanSegmenter whose labels know what comes after each scan.

    Memory depends on the teacher's window, not on the recording. Several scans are judged at a
    time, each in a thread of its own.

    Args:
        folder: of the teacher, or the name of the one that ships.
        students: segmenters of one causal model, one for each scan that is judged at a time; the
            first one makes all features.
        alone: the student's opinion does not count; what the teacher does not see stands still.

    Raises:
        KdmosError: the teacher is missing or damaged, or nothing tells its threshold.
    """

    def __init__(self, folder: str, students: Sequence[Segmenter], alone: bool = False) -> None:
        place = find_teacher(folder)
        self._teacher, self._student, self._name = read_teacher(place), students[0], place.name
        self._mixture = _Mixture(_threshold(place, self._teacher), self.spec, alone)
        self._network = folded(self._teacher.network)
        mount = make_transform(np.eye(3), [0, 0, self.spec.sensor_height_m])
        self._windows = TeacherWindows(self._teacher.window, mount)
        self._waiting: deque[_Waiting] = deque()
        self._judged: deque[tuple[_Waiting, Future[_Opinion]]] = deque()
        self._votes: ObjectVotes[tuple[_Waiting, _Opinion]] = ObjectVotes()
        self._free: SimpleQueue[Segmenter] = SimpleQueue()
        for student in students:
            self._free.put(student)
        self._side_by_side = len(students)
        self._pool = ThreadPoolExecutor(self._side_by_side)
        self._newest_ns: int | None = None
        torch.set_num_threads(1)  # whole scans side by side make better use of cores

    @property
    def spec(self) -> ModelSpec:
        """The student's."""
        return self._student.spec

    @property
    def model_name(self) -> str:
        """What gives the labels, for people."""
        partner = "" if self._mixture.alone else f" with {self._student.model_name}"
        return self._name + partner

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the student's execution provider."""
        return self._student.provider

    @property
    def identity(self) -> str:
        """Labels of another identity may differ."""
        weights = f"{self._teacher.source}, {self.spec.digest} on {self.provider}"
        return f"{self.model_name}, {weights}, threshold {self._mixture.threshold}"

    def close(self) -> None:
        """End the threads; what has not begun is left."""
        self._pool.shutdown(cancel_futures=True)

    def push(self, scan: Scan) -> Future[Segmentation]:
        """See ScanSegmenter; waits while enough scans are in work."""
        if self._newest_ns is not None and scan.stamp_ns <= self._newest_ns:
            raise ValueError(f"scan at {scan.stamp_ns} ns is not newer than {self._newest_ns} ns")
        self._newest_ns = scan.stamp_ns
        known = self._pool.submit(self._ask_student, self._student.ask(scan))
        waiting = _Waiting(scan, known, Future())
        self._waiting.append(waiting)
        self._begin(self._windows.push(scan))
        self._collect(self._side_by_side)
        return waiting.answer

    def flush(self) -> None:
        """See ScanSegmenter."""
        self._begin(self._windows.flush())
        self._collect(0)
        self._answer(self._votes.flush())

    def reset(self) -> None:
        """See ScanSegmenter."""
        self.flush()
        self._windows.reset()
        self._votes.reset()
        self._student.reset()
        self._newest_ns = None

    def _begin(self, jobs: Sequence[WindowJob]) -> None:
        for job in jobs:
            # One more than are in work waits for its turn.
            self._collect(self._side_by_side)
            waiting = self._waiting.popleft()
            self._judged.append((waiting, self._pool.submit(self._judge, job, waiting)))

    def _collect(self, allowed: int) -> None:
        """Hand on the opinions that are there, in order, and wait until so few are missing."""
        while self._judged and (len(self._judged) > allowed or self._judged[0][1].done()):
            waiting, opinion = self._judged.popleft()
            try:
                found = opinion.result()
            except Exception as error:
                if waiting.answer.set_running_or_notify_cancel():
                    waiting.answer.set_exception(error)
                continue
            self._answer(self._votes.push((waiting, found), found.placed))

    def _answer(self, voted: Iterator[tuple[tuple[_Waiting, _Opinion], Float32]]) -> None:
        for (waiting, opinion), evidence in voted:
            if waiting.answer.set_running_or_notify_cancel():
                waiting.answer.set_result(self._mixture.voted(opinion, evidence))

    def _judge(self, job: WindowJob, waiting: _Waiting) -> _Opinion:
        timings: dict[str, float] = {}
        start = time.perf_counter()
        window = job.make()
        made = time.perf_counter()
        timings["window"] = (made - start) * 1e3
        teacher = self._ask_teacher(window, len(waiting.scan.points))
        timings["teacher"] = (time.perf_counter() - made) * 1e3
        known = waiting.known.result()  # asked first, so that it is there or in work
        if not any(job.others):  # no other scan, no claim
            teacher[:, MOVING - 1] = np.where(np.isnan(teacher[:, MOVING - 1]), np.nan, 0)
        opinion = self._mixture.opinion(teacher, known, waiting.scan)
        timings = {**opinion.segmentation.timings_ms, **timings}
        return replace(opinion, segmentation=replace(opinion.segmentation, timings_ms=timings))

    def _ask_student(self, question: Question) -> _Known:
        student = self._free.get()
        try:
            answer = student.answer(question)
        finally:
            self._free.put(student)
        frame = question.frame
        return _Known(answer, frame.index, frame.cell, question.own_body, frame.n_past > 0)

    @torch.no_grad()
    def _ask_teacher(self, window: Window, n_points: int) -> Float32:
        """Probabilities (N, 3) of static, movable and moving; NaN where it has no opinion."""
        logits = self._network(
            torch.from_numpy(window.points),
            torch.from_numpy(window.time),
            torch.from_numpy(window.features),
        )
        told = np.full((n_points, MOVING - UNLABELLED), np.nan, np.float32)
        known = np.hypot(*window.points[: len(window.index), :2].T) >= _NEAREST_M
        told[window.index[known]] = torch.softmax(logits[:, UNLABELLED + 1 :], dim=1).numpy()[known]
        return told


@dataclass(frozen=True)
class _Mixture:
    """What to make of two opinions.

    Attributes:
        threshold: of the teacher's moving probability.
        spec: of the student's model.
        alone: only the teacher's counts.
    """

    threshold: float
    spec: ModelSpec
    alone: bool

    def opinion(self, teacher: Float32, known: _Known, scan: Scan) -> _Opinion:
        """Both opinions in one, on the student's scale."""
        student, rows, n_points = known.segmentation, known.rows, len(scan.points)
        high = self.spec.moving_threshold
        static, movable, moving = teacher[rows].T
        unseen = np.isnan(moving)
        own = _log_odds(student.moving_probability[rows]) - _log_odds(high)
        theirs = _log_odds(moving) - _log_odds(self.threshold)
        if self.alone or not known.has_past:  # a student without a past has no opinion
            mean = np.where(unseen, _log_odds(0.0), theirs)
        else:
            mean = np.where(unseen, own, (own + theirs) / 2)
        mixed = 1 / (1 + np.exp(-(mean + _log_odds(high))))
        probability = mixed.astype(np.float32)
        probability[np.isin(rows, known.own_body)] = 0  # as the student's, see `own_body`
        own_class = np.minimum(student.labels[rows], MOVABLE)
        stands = np.where(unseen, own_class, np.where(movable > static, MOVABLE, STATIC))
        labels = np.full(n_points, UNLABELLED, np.uint8)
        labels[rows] = np.where(probability >= np.float32(high), MOVING, stands)
        whole = np.zeros(n_points, np.float32)
        whole[rows] = probability
        low = high if self.spec.connected_threshold is None else self.spec.connected_threshold
        objects = connected_objects(probability, known.cell, self.spec.grid, low)
        return _Opinion(
            Segmentation(labels, whole, student.stamp_ns, student.timings_ms),
            rows,
            objects,
            placed(objects, scan.points[rows], scan.pose, scan.stamp_ns),
        )

    def voted(self, opinion: _Opinion, evidence: Float32) -> Segmentation:
        """Labels, given the evidence of each object."""
        found, rows = opinion.segmentation, opinion.rows
        moves = raised(found.moving_probability[rows], opinion.objects, evidence)
        labels = found.labels.copy()
        labels[rows[moves >= np.float32(self.spec.moving_threshold)]] = MOVING
        return replace(found, labels=labels)


def _threshold(folder: Path, teacher: TrainedTeacher) -> float:
    """Of the moving probability, by the teacher's validation."""
    metrics = read_metrics(folder)
    if metrics.get("teacher") != teacher.source:
        raise KdmosError(
            f"{folder / METRICS_FILE}: no figures of this teacher, so its threshold is not known; "
            "run the stage teacher of its recipe again"
        )
    return float(metrics["threshold"])


def _log_odds(probability: npt.ArrayLike) -> Float32:
    p = np.clip(np.asarray(probability, np.float32), 1 - _SUREST, _SUREST)
    return np.log(p / (1 - p))
