"""Objects are followed through the scans before and after theirs."""

import numpy as np
import pytest

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.segmentation.hysteresis import connected_objects
from kdmos_ros.segmentation.object_votes import ObjectVotes, placed

GRID = PolarGrid(rho_min=2.0, rho_max=50.0, n_rho=240, n_phi=240)
STEP_NS = 100_000_000


def car(x, y=8.0, length=4.0):
    """Points along the side of a car, sensor frame."""
    along = np.linspace(0, length, 40)
    return np.column_stack([x + along, np.full(40, y), np.zeros(40)]).astype(np.float32)


def seen(points, probability, stamp_ns, pose=None):
    """The objects of a scan whose points all have one probability."""
    p = np.full(len(points), probability, np.float32)
    cell = GRID.cells(np.hypot(*points[:, :2].T), np.arctan2(points[:, 1], points[:, 0]))
    objects = connected_objects(p, cell, GRID, 0.25)
    return placed(objects, points, np.eye(4) if pose is None else pose, stamp_ns)


def votes(scans):
    """The highest evidence of each scan's objects after the vote, and of nothing: 0."""
    stage, found = ObjectVotes(), []
    for i, scan in enumerate(scans):
        found += list(stage.push(i, scan))
    found += list(stage.flush())
    assert [i for i, _ in found] == list(range(len(scans)))
    return [float(e.max(initial=0.0)) for _, e in found]


def test_a_car_keeps_what_other_scans_show_of_it():
    sure = {4: 0.9}
    scans = [seen(car(0.8 * i), sure.get(i, 0.4), i * STEP_NS) for i in range(12)]
    found = votes(scans)
    assert found[:10] == pytest.approx([0.9] * 10)  # half a second to either side
    assert found[10:] == pytest.approx([0.4] * 2)


def test_places_are_those_of_the_fixed_frame():
    still = [seen(car(4.0), 0.4 + 0.2 * i, i * STEP_NS) for i in range(3)]
    assert votes(still) == pytest.approx([0.8] * 3)
    driven = [seen(car(4.0), 0.4 + 0.2 * i, i * STEP_NS, _at(20.0 * i)) for i in range(3)]
    assert votes(driven) == pytest.approx([0.4, 0.6, 0.8])
    passed = [seen(car(4.0 - 3.0 * i), 0.4 + 0.2 * i, i * STEP_NS, _at(3.0 * i)) for i in range(3)]
    assert votes(passed) == pytest.approx([0.8] * 3)


def _at(x):
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def test_others_do_not_gain():
    def scan(i):
        both = np.concatenate([car(0.8 * i), car(-6.0, y=-9.0)])
        p = np.where(np.arange(80) < 40, 0.9, 0.4).astype(np.float32)
        cell = GRID.cells(np.hypot(*both[:, :2].T), np.arctan2(both[:, 1], both[:, 0]))
        return placed(connected_objects(p, cell, GRID, 0.25), both, np.eye(4), i * STEP_NS)

    stage = ObjectVotes()
    found = [e for i in range(5) for _, e in stage.push(i, scan(i))]
    found += [e for _, e in stage.flush()]
    assert len(found) == 5
    for evidence in found:
        assert sorted(evidence) == pytest.approx([0.4, 0.9])


def test_nothing_is_followed_over_a_gap():
    scans = [seen(car(0.0), p, t) for p, t in ((0.9, 0), (0.4, 4 * STEP_NS))]
    assert votes(scans) == pytest.approx([0.9, 0.4])


def test_scans_without_objects_pass():
    empty = seen(np.empty((0, 3), np.float32), 0.4, STEP_NS)
    assert votes([seen(car(0.0), 0.9, 0), empty, seen(car(0.0), 0.4, 2 * STEP_NS)]) == (
        pytest.approx([0.9, 0.0, 0.4])
    )


def test_answers_come_as_soon_as_they_can_and_memory_is_bounded():
    stage, given = ObjectVotes(), []
    for i in range(100):
        given += [k for k, _ in stage.push(i, seen(car(0.0), 0.4, i * STEP_NS))]
        assert i - len(given) <= 6
        assert len(stage._scans) <= 13
    assert given == list(range(len(given)))
