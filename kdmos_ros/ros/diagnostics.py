"""The node's diagnostic_msgs status, at levels that an operator can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from kdmos_ros.health.complaints import Complaint, Level
from kdmos_ros.pipeline.statistics import WINDOW_S, Snapshot

_MANY_DROPPED = 0.1
_MANY_LATE = 0.1
CPU_PROVIDER = "CPUExecutionProvider"


class Identity(NamedTuple):
    """What the node runs: model, ONNX Runtime provider, whether another was asked for; precision
    of the grid network; one line to log about the provider, or ""."""

    model: str
    provider: str
    fell_back: bool
    precision: str
    note: str = ""

    @property
    def where(self) -> str:
        """For the log, as "on CPUExecutionProvider in fp32"."""
        return f"on {self.provider} in {self.precision}"


def judge(
    snapshot: Snapshot,
    identity: Identity | None,
    state: str,
    complaints: Sequence[Complaint] = (),
) -> tuple[bytes, str]:
    """Level (of DiagnosticStatus) and one line for the operator.

    Args:
        complaints: what cannot be right with clouds, poses and mount, the worst first.
        identity: None while no model is loaded.
        state: of the lifecycle.
    """
    if state != "active":
        return DiagnosticStatus.OK, f"not running ({state})"
    if snapshot.recent_received == 0:
        return DiagnosticStatus.WARN, f"no cloud in the last {WINDOW_S:.0f} s"
    lost = sum(snapshot.recent_dropped.values())
    reasons = ", ".join(
        f"{reason} {count}"
        for reason, count in sorted(snapshot.recent_dropped.items(), key=lambda item: -item[1])
    )
    if snapshot.recent_labelled == 0 and lost:
        without_pose = sum(n for r, n in snapshot.recent_dropped.items() if is_pose_reason(r))
        what = "no pose" if 2 * without_pose > lost else "no cloud is labelled"
        return DiagnosticStatus.ERROR, f"{what}: {reasons}"
    warnings = []
    if lost > _MANY_DROPPED * snapshot.recent_received:
        share = lost / snapshot.recent_received
        warnings.append(f"dropping {share:.0%} of the clouds: {reasons}")
    if snapshot.recent_late > _MANY_LATE * snapshot.recent_labelled:
        share = snapshot.recent_late / snapshot.recent_labelled
        median, _ = snapshot.latency_ms.get("total", (0.0, 0.0))
        warnings.append(f"late: {share:.0%} of the clouds, median delay {median:.0f} ms")
    if identity is not None and identity.fell_back:
        what = "CPU fallback: " if identity.provider == CPU_PROVIDER else ""
        warnings.append(f"{what}running on {identity.provider}, not the provider asked for")
    warnings += [complaint.text for complaint in complaints]
    if any(complaint.level is Level.ERROR for complaint in complaints):
        return DiagnosticStatus.ERROR, "; ".join(warnings)
    if warnings:
        return DiagnosticStatus.WARN, "; ".join(warnings)
    return DiagnosticStatus.OK, f"labelling {snapshot.rate_hz:.1f} clouds per second"


def is_pose_reason(reason: str) -> bool:
    """Whether a cloud dropped for this reason lacked a pose, or the LiDAR's mount."""
    # The kinds of PoseSource.
    return reason.startswith(("pose_", "tf_", "kiss_")) or reason == "no_extrinsic"


def diagnostics(
    stamp: Any,
    name: str,
    snapshot: Snapshot,
    identity: Identity | None,
    state: str,
    extra: dict[str, object],
    complaints: Sequence[Complaint] = (),
) -> DiagnosticArray:
    """The message for /diagnostics.

    Keys: state, model, provider, precision, rate_hz, received, labelled, late, dropped,
    dropped.<reason>, event.<name>, latency_ms.<stage>.p50 and .p90, health (causes of the
    complaints), last_error, and those of `extra`.
    """
    level, text = judge(snapshot, identity, state, complaints)
    values: dict[str, object] = {
        "state": state,
        "model": identity.model if identity else "",
        "provider": identity.provider if identity else "",
        "precision": identity.precision if identity else "",
        "rate_hz": f"{snapshot.rate_hz:.2f}",
        "received": snapshot.received,
        "labelled": snapshot.labelled,
        "late": snapshot.late,
        "dropped": sum(snapshot.dropped.values()),
    }
    values.update({f"dropped.{reason}": n for reason, n in sorted(snapshot.dropped.items())})
    values.update({f"event.{event}": n for event, n in sorted(snapshot.events.items())})
    for stage, (median, p90) in snapshot.latency_ms.items():
        values[f"latency_ms.{stage}.p50"] = f"{median:.2f}"
        values[f"latency_ms.{stage}.p90"] = f"{p90:.2f}"
    values["health"] = ", ".join(complaint.cause for complaint in complaints)
    values.update(extra)
    values["last_error"] = snapshot.last_error

    status = DiagnosticStatus(level=level, name=name, message=text, hardware_id="")
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
