"""A stand-in for tf2_ros where it is not installed: its names, exceptions and look-up rules.

`Air` feeds it, or the real tf2_ros, without DDS.
"""

from __future__ import annotations

import bisect
from types import ModuleType, SimpleNamespace

import numpy as np

from kdmos_ros.geometry.transforms import interpolate, invert, matrix_to_quaternion
from kdmos_ros.poses.pose_messages import place_of

SECOND_NS = 1_000_000_000
CACHE_NS = 10_000_000_000


class TransformException(Exception):
    pass


class LookupException(TransformException):
    pass


class ConnectivityException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class Buffer:
    """Frames form a tree; each link is static or has poses by stamp. See tf2::BufferCore."""

    def __init__(self):
        self.static = {}
        self.moving = {}

    def set_static(self, parent, child, pose):
        self.static[child] = (parent, pose)

    def set(self, parent, child, stamp, pose):
        _, stamps, poses = self.moving.setdefault(child, (parent, [], []))
        if stamps and stamp < stamps[-1] - CACHE_NS:
            return  # TF_OLD_DATA
        index = bisect.bisect_left(stamps, stamp)
        stamps.insert(index, stamp)
        poses.insert(index, pose)

    def clear(self):
        for _, stamps, poses in self.moving.values():
            stamps.clear()
            poses.clear()

    def lookup_transform(self, target, source, time, timeout=None):
        """T_target_source, as a TransformStamped would hold it."""
        stamp = time.nanoseconds
        to_target, to_source = self._ways(target, source)
        pose = invert(self._up(to_target, stamp)) @ self._up(to_source, stamp)
        x, y, z, w = matrix_to_quaternion(pose[:3, :3])
        return SimpleNamespace(
            transform=SimpleNamespace(
                translation=SimpleNamespace(**dict(zip("xyz", pose[:3, 3], strict=True))),
                rotation=SimpleNamespace(x=x, y=y, z=z, w=w),
            )
        )

    def get_latest_common_time(self, target, source):
        to_target, to_source = self._ways(target, source)
        links = [*to_target, *to_source]
        stamps = [self.moving[child][1] for child in links if child in self.moving]
        if not all(stamps):
            raise ConnectivityException("no data")
        newest = [link[-1] for link in stamps]
        return SimpleNamespace(nanoseconds=min(newest, default=0))

    def _ways(self, target, source):
        """Links from two frames to where they meet."""
        to_target, to_source = self._chain(target), self._chain(source)
        if to_target[-1] != to_source[-1]:
            raise ConnectivityException("two or more unconnected trees")
        shared = {*to_target} & {*to_source}
        return [[f for f in way if f not in shared] for way in (to_target, to_source)]

    def _chain(self, frame):
        """Links from a frame to its root, and the root."""
        frames = {*self.static, *self.moving}
        frames |= {parent for parent, *_ in (*self.static.values(), *self.moving.values())}
        if frame not in frames:
            raise LookupException(f'"{frame}" passed to lookupTransform does not exist.')
        links = []
        while frame in self.static or frame in self.moving:
            links.append(frame)
            frame = (self.static.get(frame) or self.moving[frame])[0]
        return [*links, frame]

    def _up(self, links, stamp):
        pose = np.eye(4)
        for child in links:
            pose = (
                self.static[child][1] if child in self.static else self._at(child, stamp)
            ) @ pose
        return pose

    def _at(self, child, stamp):
        _, stamps, poses = self.moving[child]
        if not stamps:
            raise ConnectivityException("no data")
        index = bisect.bisect_left(stamps, stamp)
        if index == len(stamps) or (stamps[index] != stamp and index == 0):
            raise ExtrapolationException("Lookup would require extrapolation")
        if stamps[index] == stamp:
            return poses[index]
        before = stamps[index - 1]
        fraction = (stamp - before) / (stamps[index] - before)
        return interpolate(poses[index - 1], poses[index], fraction)


class TransformListener:
    """Remembers the buffers it was given, so that tests can fill them."""

    buffers: list[Buffer] = []  # noqa: RUF012
    listening = 0

    def __init__(self, buffer, node, *, spin_thread=False):
        TransformListener.buffers.append(buffer)
        TransformListener.listening += 1
        self.buffer, self.node = buffer, node if isinstance(node, Air) else None
        if self.node:
            self.subscriptions = [
                node.create_subscription(None, topic, receive, None)
                for topic, receive in (("/tf_static", self.receive_static), ("/tf", self.receive))
            ]

    def receive_static(self, message):
        for found in message.transforms:
            pose = place_of(found)
            self.buffer.set_static(found.header.frame_id, found.child_frame_id, pose)

    def receive(self, message):
        for found in message.transforms:
            stamp = found.header.stamp.sec * SECOND_NS + found.header.stamp.nanosec
            pose = place_of(found)
            self.buffer.set(found.header.frame_id, found.child_frame_id, stamp, pose)

    def unregister(self):
        TransformListener.listening -= 1
        if self.node:
            for subscription in self.subscriptions:
                self.node.destroy_subscription(subscription)


def transform_message(parent, child, stamp, pose):
    """geometry_msgs/TransformStamped."""
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, SECOND_NS)
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = map(float, pose[:3, 3])
    turn.x, turn.y, turn.z, turn.w = map(float, matrix_to_quaternion(pose[:3, :3]))
    return message


class Air:
    """Stands in for the node of a listener, and for those who send to it.

    Whoever begins to listen later gets all that was sent before.
    """

    def __init__(self):
        self.subscriptions, self.sent = [], []

    def create_subscription(self, kind, topic, callback, qos, **options):
        subscription = (topic, callback)
        self.subscriptions.append(subscription)
        for sent_on, message in self.sent:
            if sent_on == topic:
                callback(message)
        return subscription

    def destroy_subscription(self, subscription):
        if subscription in self.subscriptions:  # tf2_ros does it twice
            self.subscriptions.remove(subscription)

    def set_static(self, parent, child, pose):
        self._send("/tf_static", transform_message(parent, child, 0, pose))

    def set(self, parent, child, stamp, pose):
        self._send("/tf", transform_message(parent, child, stamp, pose))

    def _send(self, topic, transform):
        message = SimpleNamespace(transforms=[transform])
        self.sent.append((topic, message))
        for listened_to, callback in list(self.subscriptions):
            if listened_to == topic:
                callback(message)


def install(monkeypatch) -> type[TransformListener]:
    """Make `import tf2_ros` give this; returns the listener, which knows the buffers."""
    import sys

    module = ModuleType("tf2_ros")
    for thing in (
        Buffer, TransformListener, TransformException, LookupException, ConnectivityException,
        ExtrapolationException,
    ):  # fmt: skip
        setattr(module, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    TransformListener.buffers, TransformListener.listening = [], 0
    return TransformListener
