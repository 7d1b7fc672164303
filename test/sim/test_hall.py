"""A hall: walls, a ceiling, people who walk inside."""

import numpy as np
import pytest

from kdmos_ros.labels import MOVING
from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim import make_drive
from kdmos_ros.sim.scenes import SCENES, SHARES


def test_a_hall_is_drawn_only_when_it_is_asked_for():
    assert dict(zip(SCENES, SHARES, strict=True))["hall"] == 0


@pytest.mark.parametrize("seed", [0, 3])
def test_rays_end_at_walls_and_ceiling_and_people_walk_inside(seed):
    drive = make_drive(seed, "os1_64", 1.0, 2.0, scene="hall", movers=True, odometry_noise=False)
    first, last = drive[0], drive[-1]
    points = first.scan.points @ drive.base_T_sensor[:3, :3].T
    z = points[:, 2] + drive.base_T_sensor[2, 3]
    building = first.kind == Kind.BUILDING
    assert 2.5 < z.max() < 8.2 and np.mean(building) > 0.3
    # Walls all around: every sector of 10 degrees has one.
    sector = np.degrees(np.arctan2(points[building, 1], points[building, 0])) // 10
    assert len(np.unique(sector)) == 36
    moving = last.labels == MOVING
    assert moving.any() and (last.kind[moving] == Kind.PEDESTRIAN).all()
    assert np.linalg.norm(last.scan.points[moving], axis=1).max() < 60


def test_nobody_walks_in_a_hall_without_movers():
    drive = make_drive(0, "vlp16", 1.0, 1.0, scene="hall", movers=False)
    assert not (drive[0].labels == MOVING).any()
