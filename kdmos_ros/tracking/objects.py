"""Moving objects from moving points: clusters, tracked over time for a speed. Free of ROS.

Causal: each call uses this scan and earlier ones. Tracking is a constant-velocity Kalman filter an
object (Bar-Shalom et al., Estimation with Applications to Tracking and Navigation, 2001, ch. 6)
with greedy nearest-neighbour association. The tracking libraries on PyPI were no fit: each needs
SciPy or more, which this node does without.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kdmos_ros.tracking.clusters import Cluster, find_clusters

# White acceleration of road users, m/s^2 (1 sigma): brisk braking of a car.
_ACCELERATION = 2.5
# What a cluster's place tells of its object's (1 sigma, m): the visible part changes.
_PLACE_SIGMA = 0.2
_SPEED_SIGMA = 8.0  # before anything is known, m/s
_GATE_SIGMAS = 3.5
_GATE_M = 0.6
_CONFIRMED_HITS = 3
_FORGET_S = 0.6
_GAP_S = 1.0
_HEADING_SPEED = 0.7  # below it the direction of motion is noise, m/s


@dataclass(frozen=True)
class MovingObject:
    """One moving object at one time, in the fixed frame.

    Attributes:
        id: stays with the object while it is followed.
        centre: (3,) of the box around its visible points, metres.
        size: (3,) length along the heading, width, height, metres.
        yaw: heading about z, radians.
        velocity: (2,) x and y, m/s; None until it was seen often enough.
        points: number of moving points.
    """

    id: int
    centre: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]
    yaw: float
    velocity: npt.NDArray[np.float64] | None
    points: int


@dataclass
class _Track:
    """State x, y, vx, vy with covariance."""

    id: int
    state: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    last_ns: int
    hits: int = 1
    cluster: Cluster | None = field(default=None, repr=False)

    def predict(self, dt: float) -> None:
        transition = np.eye(4)
        transition[0, 2] = transition[1, 3] = dt
        gain = np.array([[dt * dt / 2, 0], [0, dt * dt / 2], [dt, 0], [0, dt]])
        self.state = transition @ self.state
        self.covariance = transition @ self.covariance @ transition.T
        self.covariance += gain @ gain.T * _ACCELERATION**2

    @property
    def gate_m(self) -> float:
        """How far from the predicted place the object may be found; x and y are alike."""
        return _GATE_M + _GATE_SIGMAS * float(np.sqrt(self.covariance[0, 0]))

    def correct(self, place: npt.NDArray[np.float64]) -> None:
        innovation = self.covariance[:2, :2] + np.eye(2) * _PLACE_SIGMA**2
        gain = self.covariance[:, :2] @ np.linalg.inv(innovation)
        self.state = self.state + gain @ (place - self.state[:2])
        self.covariance = self.covariance - gain @ self.covariance[:2]


class ObjectTracker:
    """Follows moving objects from scan to scan."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._last_ns: int | None = None
        self._epoch = 0

    def reset(self) -> None:
        """Forget all objects; ids go on."""
        self._tracks = []
        self._last_ns = None

    def update(
        self, points: npt.NDArray[np.float64], stamp_ns: int, epoch: int = 0
    ) -> list[MovingObject]:
        """The objects of one scan.

        Args:
            points: (N, 3) moving points in the fixed frame, metres.
            stamp_ns: the scan's stamp; going back, or on by more than a second, starts afresh.
            epoch: a change of it starts afresh.
        """
        last = self._last_ns
        if epoch != self._epoch or (
            last is not None and not last < stamp_ns <= last + round(_GAP_S * 1e9)
        ):
            self.reset()
        self._epoch = epoch
        dt = 0.0 if self._last_ns is None else (stamp_ns - self._last_ns) * 1e-9
        self._last_ns = stamp_ns
        for track in self._tracks:
            track.predict(dt)
            track.cluster = None
        for cluster in self._associate(find_clusters(points), stamp_ns):
            self._begin(cluster, stamp_ns)
        self._tracks = [t for t in self._tracks if stamp_ns - t.last_ns <= _FORGET_S * 1e9]
        return [_describe(track) for track in self._tracks if track.cluster is not None]

    def _associate(self, clusters: list[Cluster], stamp_ns: int) -> list[Cluster]:
        """Give clusters to tracks, nearest pairs first; returns those that are left."""
        if not clusters or not self._tracks:
            return clusters
        places = np.array([cluster.place for cluster in clusters])
        predicted = np.array([track.state[:2] for track in self._tracks])
        distance = np.linalg.norm(predicted[:, None] - places, axis=2)
        distance /= np.array([[track.gate_m] for track in self._tracks])
        rows, columns = np.nonzero(distance <= 1)
        taken: set[int] = set()
        for k in np.argsort(distance[rows, columns], kind="stable"):
            track, j = self._tracks[rows[k]], int(columns[k])
            if track.cluster is None and j not in taken:
                taken.add(j)
                track.correct(places[j])
                track.cluster, track.last_ns = clusters[j], stamp_ns
                track.hits += 1
        return [cluster for j, cluster in enumerate(clusters) if j not in taken]

    def _begin(self, cluster: Cluster, stamp_ns: int) -> None:
        covariance = np.diag([_PLACE_SIGMA**2] * 2 + [_SPEED_SIGMA**2] * 2)
        state = np.array([*cluster.place, 0.0, 0.0])
        track = _Track(self._next_id, state, covariance, stamp_ns, cluster=cluster)
        self._next_id += 1
        self._tracks.append(track)


def _describe(track: _Track) -> MovingObject:
    cluster = track.cluster
    assert cluster is not None
    velocity = track.state[2:].copy() if track.hits >= _CONFIRMED_HITS else None
    yaw = cluster.direction
    if velocity is not None and np.hypot(*velocity) > _HEADING_SPEED:
        yaw = float(np.arctan2(velocity[1], velocity[0]))
    centre, size = cluster.box(yaw)
    return MovingObject(track.id, centre, size, yaw, velocity, len(cluster.points))
