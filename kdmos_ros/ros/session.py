"""What the node has while it is configured: model, poses, publishers; subscriptions if active."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sensor_msgs.msg import PointCloud2

from kdmos_ros.health.complaints import Complaint, Level
from kdmos_ros.health.monitor import HealthMonitor
from kdmos_ros.pipeline.cloud_pipeline import CloudPipeline
from kdmos_ros.pipeline.statistics import Statistics
from kdmos_ros.pipeline.worker import Job, Worker
from kdmos_ros.poses.auto_poses import AutoPoses
from kdmos_ros.poses.extrinsics import FixedExtrinsics
from kdmos_ros.poses.pose_messages import frame_of, stamp_ns_of
from kdmos_ros.ros.cloud_topic import CloudTopic
from kdmos_ros.ros.diagnostics import Identity
from kdmos_ros.ros.input_watch import InputWatch
from kdmos_ros.ros.latency_topics import LatencyTopics
from kdmos_ros.ros.odometry_topic import OdometryTopic
from kdmos_ros.ros.outputs import Outputs
from kdmos_ros.ros.pose_source_factory import (
    PoseSourceFactory,
    limit_poses,
    listened_odometry,
)
from kdmos_ros.ros.qos import profile
from kdmos_ros.ros.subscribing import Input, subscribe
from kdmos_ros.ros.tf_extrinsics import make_extrinsics
from kdmos_ros.ros.tf_listener import listen_to_tf
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter
from kdmos_ros.throttled_log import ThrottledLog

_ODOM_DEPTH = 200
_WARNING_PERIOD_S = 30.0


def identity_of(segmenter: Any) -> Identity:
    """What diagnostics say of a segmenter."""
    return Identity(
        segmenter.model_name,
        segmenter.provider,
        segmenter.fell_back,
        segmenter.precision,
        segmenter.note,
    )


class Session:
    """Wires one segmenter to topics. `start` and `stop` may alternate; `close` ends it.

    Args:
        node: owner of publishers and subscriptions.
        parameters: values by name; the live ones are read anew for each scan.
        segmenter: a Segmenter, warmed up.

    Raises:
        KdmosError: there is to be a lookahead, and the model cannot use later scans.

    Attributes:
        identity: what the segmenter runs on.
    """

    def __init__(
        self, node: Any, parameters: Mapping[str, Any], segmenter: Any, statistics: Statistics
    ) -> None:
        p = self._parameters = parameters
        self._node = node
        self._statistics = statistics
        self._log = ThrottledLog(node.get_logger())
        self._rare_log = ThrottledLog(node.get_logger(), _WARNING_PERIOD_S)
        self.identity = identity_of(segmenter)
        self._tf = listen_to_tf(node, p)
        self._odometry = listened_odometry(node, p, statistics, self._log)
        self._poses = PoseSourceFactory(self._tf, p, self._odometry, self._log).make()
        self._extrinsics = make_extrinsics(self._tf, p["base_to_lidar"])
        self._outputs = Outputs(node, profile(p["output_reliability"], p["output_depth"]))
        self._latency = LatencyTopics(node)
        self._pipeline = CloudPipeline(
            self._ahead(segmenter), self._poses, self._extrinsics, p, statistics, self._log,
            HealthMonitor(self._rare_log),
        )  # fmt: skip
        self._worker: Worker | None = None
        self._clouds: CloudTopic | None = None
        self._odometry_topic: OdometryTopic | None = None
        self._introduce()

    def start(self) -> None:
        """Subscribe and label, with an empty history."""
        p = self._parameters
        self._pipeline.reset()
        self._pipeline.health.begin()
        self._poses.reset()
        self._poses.resume()
        self._worker = Worker(
            self._pipeline, self._outputs.publish, p["queue_size"], self._statistics, self._log,
            self._labelled,
        )  # fmt: skip
        self._worker.start()
        poses = p["pose_source"]
        if self._odometry is not None:
            self._odometry_topic = OdometryTopic(
                self._node, self._subscribe_odometry, self._odometry, self._rare_log
            )
            poses = self._odometry.topic + ("" if self._poses is self._odometry else ", if any")
        topic = self._node.resolve_topic_name("points")
        odometry = self._odometry.topic if self._odometry is not None else None
        self._watch = InputWatch(self._node, topic, odometry, p, self._rare_log)
        self._clouds = CloudTopic(
            self._node, self._subscribe_clouds, self._on_cloud, self._statistics, self._rare_log
        )
        self._node.get_logger().info(f"labelling {topic} with poses from {poses}")

    def stop(self) -> None:
        """Unsubscribe and stop labelling; twice is fine."""
        if self._clouds is not None:
            self._clouds.close()
            self._clouds = None
        if self._odometry_topic is not None:
            self._odometry_topic.close()
            self._odometry_topic = None
        if self._worker is not None:
            self._poses.interrupt()
            self._worker.stop()
            self._worker = None

    def close(self) -> None:
        """Stop, and take the publishers down."""
        self.stop()
        self._outputs.destroy()
        self._latency.destroy()
        self._extrinsics.close()
        self._poses.close()
        if self._tf is not None:
            self._tf.close()

    def use(self, segmenter: Any) -> None:
        """Label with another segmenter from the next scan on. May be called from any thread."""
        self._pipeline.replace(self._ahead(segmenter))
        self.identity = identity_of(segmenter)
        self._introduce()

    def reset(self) -> None:
        """Forget the history before the next scan."""
        self._pipeline.request_reset()

    def refresh(self) -> None:
        """Take over the live parameters that are not read again for each scan."""
        limit_poses(self._poses, self._parameters)
        if self._odometry_topic is not None:
            self._odometry_topic.follow()
        if self._clouds is not None:
            self._clouds.follow()
        self._leave_tf()
        if self._worker is not None:
            self._worker.resize(self._parameters["queue_size"])

    def watch_inputs(self) -> None:
        """Warn if nothing is published, or hardly anything arrives."""
        if self._clouds is not None:
            self._watch.check(self._clouds.readable)

    def complaints(self) -> list[Complaint]:
        """What cannot be right at present, the worst first."""
        text = self._watch.complaint if self._worker is not None else ""
        lost = [Complaint("delivery", Level.WARNING, text)] if text else []
        return self._pipeline.health.current + lost

    def figures(self) -> dict[str, object]:
        """More values for diagnostics."""
        worker = self._worker
        figures: dict[str, object] = {
            "waiting": worker.waiting if worker else 0,
            "lookahead": self._lookahead,
            "looking_ahead": worker.looking_ahead if worker else 0,
            "pose_source": self._parameters["pose_source"],
            "lost_on_the_way": self._watch.lost if worker else 0,
        }
        figures.update(self._pipeline.figures())
        figures.update(self._poses.figures())
        return figures

    def _ahead(self, segmenter: Any) -> ScanSegmenter:
        """A segmenter that looks ahead as far as it is to."""
        self._lookahead = self._parameters["lookahead"]
        return OnlineSegmenter(segmenter, self._lookahead)

    def _introduce(self) -> None:
        """Say what runs, and warn if it is not what was asked for."""
        identity, log = self.identity, self._node.get_logger()
        what = f"model {identity.model} runs {identity.where}"
        if identity.fell_back:
            log.warning(f"{what}, not on {self._parameters['provider']} as asked for")
        else:
            log.info(what)
        if identity.note:
            log.warning(identity.note)

    def _labelled(self, timings_ms: dict[str, float]) -> None:
        late = timings_ms["total"] > self._parameters["late_after"] * 1e3
        self._statistics.labelled(timings_ms, late)
        self._latency.publish(timings_ms)

    def _on_cloud(self, message: PointCloud2) -> None:
        stamp = stamp_ns_of(message.header)
        self._watch.arrived(stamp)
        worker = self._worker
        if worker is not None:
            frame = frame_of(message.header.frame_id)
            worker.submit(Job(message, stamp, frame, time.perf_counter()))

    def _subscribe_clouds(self, kind: Any, callback: Callable[[Any], None], raw: bool) -> Any:
        p = self._parameters
        points = Input("points", p["cloud_reliability"], p["cloud_depth"], "cloud_reliability")
        lost = self._watch.lost_on_the_way
        return subscribe(self._node, points, kind, callback, self._rare_log, lost, raw)

    def _subscribe_odometry(self, kind: Any, callback: Callable[[Any], None]) -> Any:
        reliability = self._parameters["odom_reliability"]
        odom = Input("odom", reliability, _ODOM_DEPTH, "odom_reliability")
        return subscribe(self._node, odom, kind, callback, self._rare_log)

    def _leave_tf(self) -> None:
        """TF is costly to listen to: no longer, once neither poses nor mount come from there."""
        poses = self._poses
        open_still = isinstance(poses, AutoPoses) and not poses.chosen
        fixed = isinstance(self._extrinsics, FixedExtrinsics)
        if self._tf is not None and fixed and not open_still and poses.kind != "tf":
            self._tf.close()
            self._tf = None
