"""Scans of an endless avenue, of walls and posts that repeat: exact, cheap, without chance."""

import numpy as np

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.labels import STATIC
from kdmos_ros.scan import Scan

HEIGHT_M, WALL_M, POST_M, PERIOD_M, RADIUS_M = 1.5, 9.0, 5.0, 8.0, 0.5
_AZIMUTH = np.radians(np.arange(0, 360, 1.5))
_ELEVATION = np.radians(np.linspace(-20, 8, 24))
_FARTHEST_M = 40.0


def yaw(degrees):
    """(4, 4) turn to the left."""
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    return make_transform(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), [0, 0, 0])


def pitch(degrees):
    """(4, 4) turn that lowers the x axis."""
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    return make_transform(np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]]), [0, 0, 0])


MOUNT = make_transform(np.eye(3), [0, 0, HEIGHT_M])


def points_at(x):
    """(N, 3) float32 that a level LiDAR sees x metres along the avenue, without those too far."""
    azimuth, elevation = (a.ravel() for a in np.meshgrid(_AZIMUTH, _ELEVATION))
    ray = np.stack([np.cos(azimuth), np.sin(azimuth), np.tan(elevation)])
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(ray[2] < 0, -HEIGHT_M / ray[2], np.inf)
        wall = WALL_M / np.abs(ray[1])
    reach = np.minimum(ground, wall)
    first = np.floor((x - _FARTHEST_M) / PERIOD_M)
    for i in range(round(2 * _FARTHEST_M / PERIOD_M) + 2):
        for side in (-POST_M, POST_M):
            to = np.array([(first + i) * PERIOD_M + 0.3 * side - x, side])
            along, aside = to @ ray[:2], to[0] * ray[1] - to[1] * ray[0]
            hit = (along > 0) & (np.abs(aside) < RADIUS_M)
            depth = along - np.sqrt(np.maximum(RADIUS_M**2 - aside**2, 0))
            reach = np.where(hit, np.minimum(reach, depth), reach)
    seen = reach < _FARTHEST_M
    return np.ascontiguousarray((ray[:, seen] * reach[seen]).T, dtype=np.float32)


def avenue(n, speed=5.0, step_s=0.2, told=lambda i, base: base, mount=MOUNT):
    """n scans of a drive along the avenue, and labels that call all of it static.

    Args:
        told: the pose of the base that is told of scan i, given the true one.
        mount: that is told; the true one is MOUNT.
    """
    for i in range(n):
        x = speed * step_s * i
        base = make_transform(np.eye(3), [x, 0, 0])
        points = points_at(x % PERIOD_M)
        pose = told(i, base) @ mount
        scan = Scan(points, None, round(i * step_s * 1e9), pose, mount)
        yield scan, np.full(len(points), STATIC, np.uint8)
