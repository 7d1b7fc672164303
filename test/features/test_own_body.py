"""The own vehicle's returns: learned while driving, or told by its outline."""

import numpy as np
import pytest

from kdmos_ros.errors import KdmosError
from kdmos_ros.features.own_body import OwnBody, parse_footprint
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.scan import Scan

MOUNT = make_transform(np.eye(3), [0, 0, 1.7])
RNG = np.random.default_rng(3)


def blob(x, y, z=-0.6, n=300, size=(0.3, 0.3, 0.0)):
    """A flat plate."""
    return (RNG.uniform(-1, 1, (n, 3)) * size + [x, y, z]).astype(np.float32)


BONNET = blob(1.4, 0.0, n=2000)
PACE = blob(0.0, 3.2)  # a car in the next lane that keeps pace


def scan(index, *parts, x=None):
    pose = make_transform(np.eye(3), [0.4 * index if x is None else x, 0, 0])
    return Scan(np.concatenate(parts), None, index * 100_000_000, pose)


def found(body, *parts, **where):
    """Which points of each part are the vehicle's, at the end of a drive of ten scans."""
    for i in range(10):
        now = scan(i, BONNET, PACE, *(part(i) for part in parts), **where)
        rows = body.rows(now)
    hit = np.zeros(len(now.points), bool)
    hit[rows] = True
    sizes = [len(BONNET), len(PACE), *(len(part(9)) for part in parts)]
    return [part.mean() for part in np.split(hit, np.cumsum(sizes)[:-1])]


def test_what_travels_with_the_sensor_is_the_vehicle():
    def walker(i):  # comes nearer
        return blob(0.0, -2.3 + 0.12 * i, z=0, size=(0.3, 0, 0.6))

    bonnet, pace, person = found(OwnBody("auto", MOUNT), walker)
    assert bonnet == 1 and pace == 0 and person < 0.1


def test_nothing_is_learned_at_rest_or_in_the_first_metre():
    assert found(OwnBody("auto", MOUNT), x=0.0) == [0, 0]
    body = OwnBody("auto", MOUNT)
    assert [len(body.rows(scan(i, BONNET, x=0.3 * i))) > 0 for i in range(6)] == [False] * 4 + [
        True,
        True,
    ]


def test_odometry_that_trembles_is_no_travel():
    body = OwnBody("auto", MOUNT)
    for i in range(200):
        assert not len(body.rows(scan(i, BONNET, x=RNG.uniform(-0.05, 0.05))))


def test_what_comes_before_the_body_is_not_the_body():
    body = OwnBody("auto", MOUNT)
    found(body)
    hand = BONNET * np.float32(0.7)  # in the same directions, nearer
    assert not len(body.rows(scan(10, hand)))
    assert len(body.rows(scan(11, BONNET))) == 0  # it must be learned anew, as the hand was there


def test_a_missing_return_does_not_unlearn():
    body = OwnBody("auto", MOUNT)
    found(body)
    assert not len(body.rows(scan(10, PACE)))
    assert len(body.rows(scan(11, BONNET))) == len(BONNET)


def test_reset_forgets():
    body = OwnBody("auto", MOUNT)
    found(body)
    body.reset()
    assert not len(body.rows(scan(10, BONNET)))


def test_an_outline_is_of_the_base_frame():
    turned = make_transform(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]), [1.0, 0, 1.7])
    body = OwnBody("0.5, 1.5, 1, 2", MOUNT)
    now = Scan(BONNET, None, 0, np.eye(4), turned)  # 1.4 m to the left of (1, 0)
    assert len(body.rows(now)) == len(BONNET)
    assert not len(body.rows(scan(0, BONNET)))
    nothing = np.zeros((3, 3), np.float32)
    assert not len(OwnBody("-1, 1, -1, 1", MOUNT).rows(scan(0, nothing, nothing * np.nan)))


def test_none_finds_nothing():
    assert found(OwnBody("none", MOUNT)) == [0, 0]


@pytest.mark.parametrize("text", ["", "1, 2, 3", "2, 1, 0, 1", "0, inf, 0, 1", "car"])
def test_a_bad_outline_is_refused(text):
    with pytest.raises(ValueError, match="x_min, x_max, y_min, y_max"):
        parse_footprint(text)
    with pytest.raises(KdmosError, match="footprint: expected"):
        OwnBody(text, MOUNT)
