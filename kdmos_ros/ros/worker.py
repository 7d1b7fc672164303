"""The thread that labels: takes clouds from a mailbox, so that callbacks never wait."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from kdmos_ros.errors import ReasonedError
from kdmos_ros.ros.mailbox import Mailbox
from kdmos_ros.ros.pipeline import Labelled, Pipeline
from kdmos_ros.ros.statistics import Statistics
from kdmos_ros.ros.throttle import ThrottledLog


class Job(NamedTuple):
    """A cloud that waits: message, header stamp (ns), frame id, time.perf_counter() on arrival."""

    message: Any
    stamp_ns: int
    frame: str
    arrived: float


class Worker:
    """Runs the pipeline over the jobs of a mailbox in its own thread until it is stopped.

    Whatever happens to one cloud is counted and logged; the next one gets its turn.

    Args:
        publish: sends a result out and returns its own stage timings, milliseconds.
        finished: gets the milliseconds of every stage of a labelled cloud, `queue` (waiting) and
            `total` (arrival to published) among them.
    """

    def __init__(
        self,
        pipeline: Pipeline,
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
        self._thread = threading.Thread(target=self._run, name="mos_worker", daemon=True)

    @property
    def waiting(self) -> int:
        """Clouds in the queue."""
        return len(self._mailbox)

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
        while (job := self._mailbox.take()) is not None:
            start = time.perf_counter()
            try:
                result = self._pipeline.process(job.message, job.stamp_ns, job.frame)
                timings = {**result.timings_ms, **self._publish(result)}
            except ReasonedError as error:
                self._statistics.dropped(error.reason, str(error))
                self._log.error(error.reason, f"cloud dropped: {error}")
            except Exception as error:
                # Not foreseen; a robot still wants the next scan labelled.
                self._statistics.dropped("internal_error", repr(error))
                self._log.error("internal_error", f"cloud dropped:\n{traceback.format_exc()}")
            else:
                now = time.perf_counter()
                timings["queue"] = (start - job.arrived) * 1e3
                timings["total"] = (now - job.arrived) * 1e3
                self._finished(timings)
