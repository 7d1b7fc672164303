"""A bag made of another one: with the labelled clouds beside its own, or without what moves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.bag_file import POINT_CLOUD, BagError, BagFile, RawMessage, packed_message
from kdmos_ros.io.bag_writer import BagWriter
from kdmos_ros.labels import MOVING
from kdmos_ros.pipeline.replay import ReplayedScan
from kdmos_ros.pointcloud.codec import append_label, subset

_log = logging.getLogger(__name__)


class BagSink:
    """Writes a bag with all messages of another one, byte for byte, and an answer to each cloud.

    Topics are left out whose definition is neither in the bag nor known here.

    An answer is recorded at the time of its cloud, right after what was recorded until then.

    Args:
        path: of the new bag. An unfinished one of that name gives the answers to skipped scans.
        source: the bag that is labelled.
        cloud_topic: its clouds.
        topic: of the labelled clouds; None: the clouds are replaced by what does not move.
        resume: whether there is an unfinished bag.

    Raises:
        KdmosError: a path or topic that is taken.
    """

    def __init__(
        self, path: Path, source: Path, cloud_topic: str, topic: str | None, resume: bool
    ) -> None:
        self._replaces = topic is None
        self._topic = topic = cloud_topic if topic is None else topic
        self._waiting: dict[int, list[bytes | memoryview]] = {}
        with ExitStack() as stack:
            bag = stack.enter_context(BagFile(source))
            if not self._replaces and any(t.name == topic for t in bag.topics):
                raise KdmosError(f"{source} has a topic {topic} already; choose another one")
            self._done: Iterator[RawMessage] = iter(())
            if resume and path.exists():
                self._done = stack.enter_context(BagFile(path)).messages([topic])
            self._writer = BagWriter(path, overwrite=resume)
            stack.callback(self._writer.abort)
            left_out = self._copy_topics(bag, path)
            if not self._replaces:
                self._writer.add_topic(topic, POINT_CLOUD)
            left_out |= {topic} if self._replaces else set()
            copied = [t.name for t in bag.topics if t.name not in left_out]
            self._messages = bag.messages(copied)
            self._next = next(self._messages, None)
            self._stack = stack.pop_all()

    def add(self, scan: ReplayedScan) -> None:
        """See Sink."""
        self._copy_until(scan.recorded_ns)
        if scan.dropped:
            return
        if scan.skipped:
            self._writer.write_raw(self._topic, scan.recorded_ns, self._answer(scan.recorded_ns))
            return
        assert scan.labels is not None and scan.moving_probability is not None
        layout = scan.layout or scan.message
        if self._replaces:
            packed = subset(layout, scan.labels != MOVING)
        else:
            packed = append_label(layout, scan.labels, scan.moving_probability)
        self._writer.write(
            self._topic, scan.recorded_ns, packed_message(scan.message.header, packed)
        )

    def save(self, complete: bool) -> None:
        """See Sink."""
        with self._stack:  # whose drop of the bag does nothing once it is closed
            if complete:
                self._copy_until(None)
            self._writer.close()

    def discard(self) -> None:
        """See Sink."""
        self._stack.close()

    def _copy_topics(self, bag: BagFile, path: Path) -> set[str]:
        """Declare the bag's topics; returns those that cannot be copied, and says so once."""
        left_out: set[str] = set()
        for connection in bag.connections:
            replaced = self._replaces and connection.topic == self._topic
            try:
                if replaced and connection.msgtype != POINT_CLOUD:
                    self._writer.add_topic(self._topic, POINT_CLOUD)
                else:
                    self._writer.copy_topic(connection)
            except BagError:
                left_out.add(connection.topic)
        if left_out:
            counts = [t for t in bag.topics if t.name in left_out]
            names = ", ".join(f"{t.name} ({t.msgtype}, {t.count} messages)" for t in counts)
            _log.warning(
                f"{path} is without {len(counts)} topics whose message definition {bag.path} does"
                f" not carry: {names}"
            )
        return left_out

    def _answer(self, recorded_ns: int) -> bytes | memoryview:
        """The unfinished bag's answer to the cloud of that time."""
        # Answers come in the order of recording, scans in that of their stamps.
        while not self._waiting.get(recorded_ns):
            done = next(self._done, None)
            if done is None:
                raise BagError(f"{self._writer.path} has fewer clouds than its bookmark says")
            self._waiting.setdefault(done.stamp_ns, []).append(done.data)
        found = self._waiting[recorded_ns].pop(0)
        if not self._waiting[recorded_ns]:
            del self._waiting[recorded_ns]
        return found

    def _copy_until(self, recorded_ns: int | None) -> None:
        while self._next is not None and (
            recorded_ns is None or self._next.stamp_ns <= recorded_ns
        ):
            self._writer.write_raw(self._next.topic, self._next.stamp_ns, self._next.data)
            self._next = next(self._messages, None)
