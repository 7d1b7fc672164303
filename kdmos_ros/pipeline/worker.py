"""The thread that labels: takes clouds from a mailbox, so that callbacks never wait."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from kdmos_ros.errors import ReasonedError
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.mailbox import Mailbox
from kdmos_ros.pipeline.pending_cloud import Labelled, PendingCloud
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.throttled_log import ThrottledLog

# After so much silence, in wall time, labels no longer wait for later scans. No lag is as long.
_PATIENCE_S = 2.0


class Job(NamedTuple):
    """A cloud that waits: message, header stamp (ns), frame id, time.perf_counter() on arrival."""

    message: Any
    stamp_ns: int
    frame: str
    arrived: float


class _Held(NamedTuple):
    """A cloud that is labelled, or waits for later ones; when its work began, seconds."""

    job: Job
    began: float
    cloud: PendingCloud
    waits: bool

    @property
    def is_ready(self) -> bool:
        """Whether it can be published, or never will be."""
        return self.cloud.segmentation.done()


class Worker:
    """Runs the pipeline over the jobs of a mailbox in its own thread until it is stopped.

    Whatever happens to one cloud is counted and logged; the next one gets its turn. Clouds whose
    labels wait for later ones are published in their order as soon as they are there; what still
    waits when it is stopped is counted as dropped.

    Args:
        publish: sends a result out and returns its own stage timings, milliseconds.
        finished: gets the milliseconds of every stage of a labelled cloud; among them `queue`
            (waiting), `lookahead` (waiting for later clouds, if it has to) and `total` (arrival,
            of the last of those, to published).
    """

    def __init__(
        self,
        pipeline: CloudPipeline,
        publish: Callable[[Labelled], dict[str, float]],
        queue_size: int,
        statistics: Statistics,
        log: ThrottledLog,
        finished: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._publish = publish
        self._mailbox: Mailbox[Job] = Mailbox(queue_size)
        self._statistics = statistics
        self._log = log
        self._finished = finished or statistics.labelled
        self._held: deque[_Held] = deque()
        self._thread = threading.Thread(target=self._run, name="mos_worker", daemon=True)

    @property
    def waiting(self) -> int:
        """Clouds in the queue."""
        return len(self._mailbox)

    @property
    def looking_ahead(self) -> int:
        """Clouds that wait for later ones."""
        return len(self._held)

    def resize(self, queue_size: int) -> None:
        """Let so many clouds wait from the next one on."""
        self._mailbox.size = queue_size

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Hand over a cloud; never blocks. What no longer fits is counted as dropped."""
        self._statistics.received()
        for _ in self._mailbox.put(job):
            # With a queue of one this is the way live use is meant: the newest scan wins.
            live = self._mailbox.size == 1
            self._statistics.dropped("superseded" if live else "queue_full")
            if not live:
                self._log.error(
                    "queue_full", f"more than {self._mailbox.size} clouds wait: oldest one dropped"
                )

    def stop(self) -> None:
        """Finish the cloud in work, leave the others, end the thread."""
        self._mailbox.close()
        if self._thread.is_alive():
            self._thread.join()
        for _ in range(self.waiting):
            self._statistics.dropped("deactivated")

    def _run(self) -> None:
        while True:
            try:
                job = self._mailbox.take(_PATIENCE_S if self._held else None)
            except TimeoutError:
                now = time.perf_counter()
                with self._surviving():
                    self._pipeline.flush()
                self._publish_ready(now)
                continue
            if job is None:
                break
            began = time.perf_counter()
            with self._counting():
                cloud = self._pipeline.process(job.message, job.stamp_ns, job.frame)
                self._held.append(_Held(job, began, cloud, not cloud.segmentation.done()))
            self._publish_ready(job.arrived)
        for held in self._held:
            held.cloud.segmentation.cancel()
            self._statistics.dropped("deactivated")

    def _publish_ready(self, released: float) -> None:
        """Publish what does not wait any more; `released`: the time from when on it did not."""
        while self._held and self._held[0].is_ready:
            held = self._held.popleft()
            timings: dict[str, float] | None = None
            with self._counting():
                timings = self._sent(held, released)
            if timings is not None:
                with self._surviving():
                    self._finished(timings)

    def _sent(self, held: _Held, released: float) -> dict[str, float]:
        result = held.cloud.labelled()
        if result.scan is not None:
            self._pipeline.health.observe(result.scan, result.labels)
        timings = dict(result.timings_ms)
        if held.waits:
            timings["lookahead"] = (released - held.job.arrived) * 1e3
        timings.update(self._publish(result))
        timings["queue"] = (held.began - held.job.arrived) * 1e3
        timings["total"] = (time.perf_counter() - released) * 1e3
        return timings

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Log what costs no cloud its labels: without this thread none would get any more."""
        try:
            yield
        except Exception:
            self._log.error("internal_error", f"labelling continues:\n{traceback.format_exc()}")

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Count and log what costs a cloud its labels."""
        try:
            yield
        except ReasonedError as error:
            self._statistics.dropped(error.reason, str(error))
            self._log.error(error.reason, f"cloud dropped: {error}")
        except Exception as error:
            # Not foreseen; a robot still wants the next scan labelled.
            self._statistics.dropped("internal_error", repr(error))
            self._log.error("internal_error", f"cloud dropped:\n{traceback.format_exc()}")
