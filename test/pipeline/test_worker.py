import dataclasses
import threading
from concurrent.futures import Future

import numpy as np
import pytest
from pipeline_harness import Logger

from kdmos_ros.pipeline.localization import DroppedScan
from kdmos_ros.pipeline.pending_cloud import PendingCloud
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pipeline.worker import Job, Worker
from kdmos_ros.segmentation.segmenter import Segmentation
from kdmos_ros.throttled_log import ThrottledLog


class Bench:
    """A worker whose pipeline does what each job's message says."""

    def __init__(self, queue_size=1):
        self.statistics, self.logger = Statistics(), Logger()
        self.published = []
        self.entered, self.gate = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = Worker(
            self, self.publish, queue_size, self.statistics, ThrottledLog(self.logger, 0)
        )

    def process(self, message, stamp_ns, frame):
        self.entered.release()
        if message == "hold":
            self.gate.acquire()
        if message == "drop":
            raise DroppedScan("pose_gap", "odometry has a gap")
        if message == "crash":
            raise ZeroDivisionError("nobody thought of this")
        labels = Future()
        labels.set_result(Segmentation(np.zeros(0), np.zeros(0), stamp_ns, {"bev": 1.0}))
        return PendingCloud(message, None, {}, labels)

    def publish(self, result):
        self.published.append(result.message)
        return {"publish": 1.0}

    def submit(self, *messages):
        for message in messages:
            self.worker.submit(Job(message, 0, "lidar", 0.0))


@pytest.fixture
def bench():
    return Bench(queue_size=10)


def finish(bench):
    """Wait for what was submitted, then stop."""
    done = threading.Event()
    publish = bench.publish

    def last(result):
        publish(result)
        if result.message == "last":
            done.set()
        return {}

    bench.worker._publish = last
    bench.submit("last")
    bench.worker.start()
    assert done.wait(30)
    bench.worker.stop()


def test_every_failure_is_counted_and_the_next_scan_gets_its_turn(bench):
    bench.submit("good", "drop", "crash", "drop")
    finish(bench)
    snapshot = bench.statistics.snapshot()
    assert bench.published == ["good", "last"]
    assert snapshot.dropped == {"pose_gap": 2, "internal_error": 1}
    assert (snapshot.received, snapshot.labelled) == (5, 2)


def test_what_went_wrong_is_logged(bench):
    bench.submit("drop", "crash")
    finish(bench)
    assert bench.logger.lines[0] == "cloud dropped: odometry has a gap"
    assert "ZeroDivisionError: nobody thought of this" in bench.logger.lines[1]
    assert "Traceback" in bench.logger.lines[1]


def test_stages_are_timed(bench):
    finish(bench)
    assert {"bev", "queue", "total"} <= set(bench.statistics.snapshot().latency_ms)


def test_figures_that_cannot_be_told_cost_no_cloud(bench):
    told = bench.statistics.labelled

    def finished(timings_ms):
        told(timings_ms)
        raise ZeroDivisionError("nobody thought of this")

    bench.worker._finished = finished
    bench.submit("good")
    finish(bench)
    assert bench.published == ["good", "last"]
    snapshot = bench.statistics.snapshot()
    assert (snapshot.labelled, snapshot.dropped) == (2, {})
    assert "nobody thought of this" in bench.logger.lines[0]


@pytest.mark.parametrize(
    ("queue_size", "reason", "published"),
    [(1, "superseded", ["hold", "e"]), (2, "queue_full", ["hold", "d", "e"])],
)
def test_newest_wins_while_the_worker_is_busy(queue_size, reason, published):
    bench = Bench(queue_size)
    bench.worker.start()
    bench.submit("hold")
    assert bench.entered.acquire(timeout=30)
    bench.submit("a", "b", "c", "d", "e")
    bench.gate.release()
    for _ in published[1:]:
        assert bench.entered.acquire(timeout=30)
    bench.worker.stop()
    assert bench.published == published
    snapshot = bench.statistics.snapshot()
    assert snapshot.dropped == {reason: 6 - len(published)}
    assert snapshot.received == 6


def test_what_waits_when_it_is_stopped_is_counted(bench):
    bench.submit("a", "b")
    bench.worker.stop()
    assert bench.statistics.snapshot().dropped == {"deactivated": 2}
    assert bench.published == []


class Ahead(Bench):
    """Labels "wait" later: at a message "keep"; at "break", never."""

    def __init__(self):
        super().__init__(queue_size=10)
        self.waiting, self.flushed = [], threading.Event()

    def process(self, message, stamp_ns, frame):
        if message in ("keep", "drop"):
            self.flush()
        if message == "break":
            for future in self.waiting:
                future.set_exception(ZeroDivisionError("nobody thought of this"))
            self.waiting.clear()
        result = super().process(message, stamp_ns, frame)
        if message != "wait":
            return result
        self.waiting.append(Future())
        return dataclasses.replace(result, segmentation=self.waiting[-1])

    def flush(self):
        for future in self.waiting:
            future.set_result(Segmentation.unlabelled(1, 0))
        self.waiting.clear()
        self.flushed.set()


def test_what_waits_for_later_clouds_is_published_in_order():
    bench = Ahead()
    bench.submit("wait", "good", "wait", "keep", "wait", "drop")
    finish(bench)
    assert bench.published == ["wait", "good", "wait", "keep", "wait", "last"]
    snapshot = bench.statistics.snapshot()
    assert (snapshot.received, snapshot.labelled) == (7, 6)
    assert snapshot.dropped == {"pose_gap": 1}, "one that is dropped may end the wait of others"
    assert "lookahead" in snapshot.latency_ms


def test_labels_that_never_come_are_counted():
    bench = Ahead()
    bench.submit("wait", "wait", "break")
    finish(bench)
    assert bench.published == ["break", "last"]
    assert bench.statistics.snapshot().dropped == {"internal_error": 2}
    assert "nobody thought of this" in bench.logger.lines[0]


def test_what_waits_for_later_clouds_when_it_is_stopped_is_counted():
    bench = Ahead()
    bench.submit("wait", "wait", "good")
    bench.worker.start()
    for _ in range(3):
        assert bench.entered.acquire(timeout=30)
    waiting = list(bench.waiting)
    bench.worker.stop()
    assert bench.published == []
    assert bench.statistics.snapshot().dropped == {"deactivated": 3}
    assert all(future.cancelled() for future in waiting), "nobody needs them"


def test_a_wait_that_cannot_be_ended_does_not_end_the_thread(monkeypatch):
    monkeypatch.setattr("kdmos_ros.pipeline.worker._PATIENCE_S", 0.01)
    bench = Ahead()
    flush, failed = bench.flush, threading.Event()

    def flush_later():
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError("nobody thought of this")
        flush()

    bench.flush = flush_later
    bench.worker.start()
    bench.submit("wait")
    assert failed.wait(30) and bench.flushed.wait(30)
    bench.worker.stop()
    assert bench.published == ["wait"]


def test_nothing_waits_for_ever(monkeypatch):
    monkeypatch.setattr("kdmos_ros.pipeline.worker._PATIENCE_S", 0.01)
    bench = Ahead()
    bench.worker.start()
    bench.submit("wait")
    assert bench.flushed.wait(30)
    bench.worker.stop()
    assert bench.published == ["wait"]
