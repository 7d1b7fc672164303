"""Labels recordings by the teacher: a segmenter that holds each scan until its future has come.

The student's moving probability joins the teacher's (`opinions`): the student sees farther; the
teacher knows the future and the first scan. The read-out is followed by hysteresis in time
(`object_votes`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
import torch

from kdmos_ros.closing import Closing
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.labels import MOVING
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.object_votes import ObjectVotes
from kdmos_ros.segmentation.segmenter import Question, Segmentation, Segmenter
from kdmos_ros.train.data.teacher_window import TeacherWindows, WindowJob
from kdmos_ros.train.fitting.judging_teacher import JudgingTeacher
from kdmos_ros.train.fitting.opinions import Known, Mixture, Opinion

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Waiting:
    """A scan without an answer yet."""

    scan: Scan
    known: Future[Known]
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
        self._teacher, self._student = JudgingTeacher(folder), students[0]
        self._mixture = Mixture(self._teacher.threshold, self.spec, alone)
        mount = make_transform(np.eye(3), [0, 0, self.spec.sensor_height_m])
        self._windows = TeacherWindows(self._teacher.window, mount)
        self._waiting: deque[_Waiting] = deque()
        self._judged: deque[tuple[_Waiting, Future[Opinion]]] = deque()
        self._votes: ObjectVotes[tuple[_Waiting, Opinion]] = ObjectVotes()
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
        return self._teacher.name + partner

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

    def _answer(self, voted: Iterator[tuple[tuple[_Waiting, Opinion], Float32]]) -> None:
        for (waiting, opinion), evidence in voted:
            if waiting.answer.set_running_or_notify_cancel():
                waiting.answer.set_result(self._mixture.voted(opinion, evidence))

    def _judge(self, job: WindowJob, waiting: _Waiting) -> Opinion:
        timings: dict[str, float] = {}
        start = time.perf_counter()
        window = job.make()
        made = time.perf_counter()
        timings["window"] = (made - start) * 1e3
        teacher = self._teacher.probabilities(window, len(waiting.scan.points))
        timings["teacher"] = (time.perf_counter() - made) * 1e3
        known = waiting.known.result()  # asked first, so that it is there or in work
        if not any(job.others):  # no other scan, no claim
            teacher[:, MOVING - 1] = np.where(np.isnan(teacher[:, MOVING - 1]), np.nan, 0)
        opinion = self._mixture.opinion(teacher, known, waiting.scan)
        timings = {**opinion.segmentation.timings_ms, **timings}
        return replace(opinion, segmentation=replace(opinion.segmentation, timings_ms=timings))

    def _ask_student(self, question: Question) -> Known:
        student = self._free.get()
        try:
            answer = student.answer(question)
        finally:
            self._free.put(student)
        frame = question.frame
        return Known(answer, frame.index, frame.cell, question.own_body, frame.n_past > 0)
