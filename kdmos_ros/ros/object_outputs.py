"""Moving objects as messages: `~/objects` for display, `~/detections` for other nodes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from visualization_msgs.msg import MarkerArray

from kdmos_ros.labels import MOVING
from kdmos_ros.pipeline.pending_cloud import Labelled
from kdmos_ros.ros.object_detections import detection_array, detection_types
from kdmos_ros.ros.object_markers import marker_array
from kdmos_ros.tracking.objects import ObjectTracker

_DEPTH = 5


class ObjectOutputs:
    """Publishes objects while somebody listens, else does nothing.

    They are in the frame of the cloud, so that whatever uses the cloud can use them. The tracker
    begins when somebody subscribes. Detections need the package vision_msgs; without it there is
    no such topic.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._markers = node.create_publisher(MarkerArray, "~/objects", _DEPTH)
        self._types = detection_types()
        self._detections: Any = None
        if self._types is not None:
            self._detections = node.create_publisher(
                self._types.Detection3DArray, "~/detections", _DEPTH
            )
        self._tracker = ObjectTracker()

    def publish(self, result: Labelled) -> dict[str, float]:
        """Publish the objects of a cloud; returns the milliseconds of the stage `objects`."""
        publishers = [p for p in (self._markers, self._detections) if p is not None]
        listening = [p for p in publishers if p.get_subscription_count()]
        if result.scan is None or not listening:
            return {}
        start = time.perf_counter()
        pose = result.scan.pose
        moving = result.scan.points[result.labels == MOVING].astype(np.float64)
        in_odom = moving @ pose[:3, :3].T + pose[:3, 3]
        objects = self._tracker.update(in_odom, result.scan.stamp_ns, result.epoch)
        header = result.message.header
        if self._markers in listening:
            self._markers.publish(marker_array(header, objects, pose))
        if self._detections in listening:
            self._detections.publish(detection_array(self._types, header, objects, pose))
        return {"objects": (time.perf_counter() - start) * 1e3}

    def destroy(self) -> None:
        """Take the publishers down."""
        self._node.destroy_publisher(self._markers)
        if self._detections is not None:
            self._node.destroy_publisher(self._detections)
