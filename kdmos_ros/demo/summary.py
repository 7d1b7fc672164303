"""What a recorded run of the node says: counts, figures, latencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdmos_ros.evaluation.bag_evaluation import LabelSource
from kdmos_ros.evaluation.metrics import ConfusionAccumulator, percentiles
from kdmos_ros.io.bag_file import BagFile, RawMessage, decode_cdr
from kdmos_ros.pointcloud.codec import decode, read_labels
from kdmos_ros.poses.pose_messages import stamp_ns_of

_FIGURE = "n/a"


@dataclass
class Summary:
    """Figures of one run.

    Attributes:
        played: clouds sent. received, labelled: by the node. recorded: answers that came back.
        dropped: clouds that the node gave up, by reason.
        confusion: against the labels, or None without labels.
        latency_ms: stage -> (p50, p90), as the node measured it.
        answer_ms: percentiles from sending a cloud to receiving its labels, or None.
        model, provider: what the node ran.
    """

    played: int
    received: int = 0
    labelled: int = 0
    recorded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    confusion: ConfusionAccumulator | None = None
    latency_ms: dict[str, tuple[float, float]] = field(default_factory=dict)
    answer_ms: dict[str, float] | None = None
    model: str = ""
    provider: str = ""

    def to_text(self) -> str:
        """A table for people."""
        rows = [
            ("scans played", str(self.played)),
            ("received by the node", str(self.received)),
            ("labelled", str(self.labelled)),
        ]
        rows += [(f"dropped: {reason}", str(n)) for reason, n in sorted(self.dropped.items())]
        if not self.dropped:
            rows.append(("dropped", "0"))
        rows.append(("recorded", str(self.recorded)))
        if self.confusion is not None:
            c = self.confusion
            for name, value in (
                ("moving IoU", c.iou),
                ("precision", c.precision),
                ("recall", c.recall),
            ):
                rows.append((name, _FIGURE if value is None else f"{value:.3f}"))
        rows.append(("model", f"{self.model} on {self.provider}"))
        lines = [f"{name:<24}{value}" for name, value in rows]
        lines.append(f"{'latency [ms]':<24}{'p50':>8}{'p90':>8}")
        lines += [f"  {s:<22}{p50:8.1f}{p90:8.1f}" for s, (p50, p90) in self.latency_ms.items()]
        if self.answer_ms is not None:
            lines.append(
                f"  {'cloud sent to answer':<22}{self.answer_ms['p50']:8.1f}"
                f"{self.answer_ms['p90']:8.1f}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Content of the JSON file."""
        c = self.confusion
        return {
            "played": self.played,
            "received": self.received,
            "labelled": self.labelled,
            "recorded": self.recorded,
            "dropped": self.dropped,
            "iou_moving": c.iou if c else None,
            "precision": c.precision if c else None,
            "recall": c.recall if c else None,
            "stages_ms": {s: {"p50": a, "p90": b} for s, (a, b) in self.latency_ms.items()},
            "answer_ms": self.answer_ms,
            "model": self.model,
            "provider": self.provider,
        }


def summarise(
    recording: Path,
    topic: str,
    diagnostics_topic: str,
    sent_ns: Mapping[int, int],
    labels: LabelSource | None,
    index_of: Mapping[int, int],
) -> Summary:
    """Read the figures of a run from its recording.

    Args:
        recording: bag with the labelled clouds and the diagnostics.
        sent_ns: stamp -> wall-clock time at which that cloud was sent.
        labels: truth, or None.
        index_of: stamp -> position of the scan in the drive, to find its labels.

    Raises:
        KdmosError: the recording or the labels cannot be read.
    """
    summary = Summary(len(sent_ns), confusion=ConfusionAccumulator() if labels else None)
    answers = []
    with BagFile(recording) as bag:
        for raw in bag.messages([topic, diagnostics_topic]):
            if raw.topic == diagnostics_topic:
                _read_diagnostics(summary, raw)
                continue
            message = decode_cdr(raw)
            stamp = stamp_ns_of(message.header)
            summary.recorded += 1
            if stamp in sent_ns:
                answers.append((raw.stamp_ns - sent_ns[stamp]) * 1e-6)
            if labels is not None and summary.confusion is not None and stamp in index_of:
                predicted = read_labels(message)
                truth = labels.read(index_of[stamp], stamp, len(predicted))
                summary.confusion.add(truth, predicted)
    summary.answer_ms = percentiles(answers)
    return summary


def labelled_clouds(recording: Path, topic: str) -> Iterator[tuple[int, Any, Any]]:
    """Stamp (ns), points (N, 3) float32 and labels (N,) uint8 of each recorded answer."""
    with BagFile(recording) as bag:
        for raw in bag.messages([topic]):
            message = decode_cdr(raw)
            yield stamp_ns_of(message.header), decode(message).points, read_labels(message)


def _read_diagnostics(summary: Summary, raw: RawMessage) -> None:
    for status in decode_cdr(raw).status:
        values = {item.key: item.value for item in status.values}
        if "labelled" not in values:
            continue  # of another node
        summary.received, summary.labelled = int(values["received"]), int(values["labelled"])
        summary.model, summary.provider = values["model"], values["provider"]
        summary.dropped = {
            key.partition(".")[2]: int(value)
            for key, value in values.items()
            if key.startswith("dropped.")
        }
        for key, value in values.items():
            if key.startswith("latency_ms.") and key.endswith(".p50"):
                stage = key[len("latency_ms.") : -len(".p50")]
                p90 = float(values[f"latency_ms.{stage}.p90"])
                summary.latency_ms[stage] = (float(value), p90)
