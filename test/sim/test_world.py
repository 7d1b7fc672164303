"""Bodies on the ground, limbs, kerbs, collisions."""

import numpy as np
import pytest

from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim.clearance import blocks, clear_of, collide
from kdmos_ros.sim.paths import trace
from kdmos_ros.sim.people import draw_cyclist, draw_pedestrian
from kdmos_ros.sim.solids import BOX, GESTURE, HALF, SWING, Solid, body
from kdmos_ros.sim.terrain import make_ground
from kdmos_ros.sim.traffic import clock, follow, standing
from kdmos_ros.sim.vehicles import draw_vehicle
from kdmos_ros.sim.world import Actor, Placed, Plan, World

TIMES = clock(4.0)


def flat(rng, **kind):
    ground = make_ground(rng, (-60, -60), (60, 60), [], paved=True, **kind)
    ground.grid[..., 0] = 0
    ground.profile[:] = 0  # no crown either
    return ground


def world_with(actor: Actor) -> World:
    rng = np.random.default_rng(0)
    ego = standing((-20.0, 0.0, 0.0), len(TIMES))
    return World(Plan(flat(rng), ego, [], [actor]), rng)


@pytest.mark.parametrize("kind", [Kind.CAR, Kind.VAN, Kind.TRUCK, Kind.BUS])
def test_vehicles_stand_on_their_wheels_within_their_size(kind):
    for seed in range(10):
        vehicle = draw_vehicle(np.random.default_rng(seed), kind)
        placed = Placed(vehicle.body, (0.0, 0.0, 0.0), parked=True)
        rng = np.random.default_rng(0)
        world = World(Plan(flat(rng), standing((0, 9, 0), len(TIMES)), [placed]), rng)
        shot = world.snapshot(0.0)
        reach = (np.abs(shot.axes) * vehicle.body[:, HALF, None]).sum(1)
        low, high = (shot.center - reach).min(0), (shot.center + reach).max(0)
        assert low[2] == pytest.approx(0, abs=0.01) and 1.3 < high[2] < 4.2
        np.testing.assert_allclose((high - low)[:2], [vehicle.length, vehicle.width], atol=0.35)
        assert set(vehicle.body[:, 13]) == {float(kind)}


def test_a_person_who_waves_does_not_move():
    person = draw_pedestrian(np.random.default_rng(1))
    assert (person[:, GESTURE] > 0).any()
    world = world_with(Actor(person, standing((0, 0, 1.0), len(TIMES), wave=1.0), (0.6, 0.6)))
    a, b = world.snapshot(0.1), world.snapshot(0.4)
    shift = np.linalg.norm(a.center - b.center, axis=1)
    arms = person[:, GESTURE] > 0
    assert (shift[arms] > 0.01).all() and (shift[~arms] < 1e-9).all()
    assert not world.moving(0.4).any()


@pytest.mark.parametrize("draw", [draw_pedestrian, lambda rng: draw_cyclist(rng).body])
def test_legs_swing_about_the_hip_and_stay_above_ground(draw):
    person = draw(np.random.default_rng(2))
    track = follow(trace((0, 0, 0), [(20, 0)]), 1.4 * TIMES, np.full(len(TIMES), 1.4), stride=1.4)
    world = world_with(Actor(person, track, (0.6, 0.6)))
    swinging = person[:, SWING] != 0
    tops = []
    for time in np.arange(0, 2, 0.1):
        shot = world.snapshot(time)
        x = np.interp(time, TIMES, track.pose[:, 0])
        arm = person[swinging, 17] - person[swinging, 3]
        hips = shot.center[swinging] + arm[:, None] * shot.axes[swinging, 2]
        tops.append(hips - [x, 0, 0])
        assert world.moving(time).all()
    # The hip stays put on the body while the leg swings.
    upright = person[swinging, 8] == 0
    assert np.ptp(np.array(tops), axis=0)[upright].max() < 0.03


def test_a_kerb_is_a_sharp_step_at_the_edge_of_the_road():
    road = np.stack([np.arange(-80.0, 80.0), np.zeros(160)], axis=-1)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ground = make_ground(rng, (-60, -60), (60, 60), [(road, 4.0)])
        ground.grid[..., 0] = 0
        kerb = float(ground.profile[0])
        x = np.linspace(-30, 30, 50)
        below, above = ground.height(x, 3.95 + 0 * x), ground.height(x, 4.2 + 0 * x)
        np.testing.assert_allclose(above - below, kerb, atol=0.01)
        assert kerb == 0 or 0.08 <= kerb <= 0.15


def test_bodies_lean_with_the_ground():
    rng = np.random.default_rng(0)
    ground = flat(rng)
    ground.grid[..., 0] = 0.1 * (ground.origin[0] + 2.0 * np.arange(ground.grid.shape[0]))[:, None]
    pitch, roll = ground.tilt(np.zeros(2), np.zeros(2), np.array([0.0, np.pi / 2]))
    assert pitch == pytest.approx([-np.arctan(0.1), 0], abs=1e-3)  # uphill: nose up
    assert roll == pytest.approx([0, -np.arctan(0.1)], abs=1e-3)  # right side uphill


def test_collisions_need_overlap():
    a = np.tile([0.0, 0.0, 0.0], (5, 1))
    along, across = a + np.array([4.6, 0, 0]), a + np.array([3.5, 0, np.pi / 2])
    assert not collide(a, (4.0, 2.0), along, (4.0, 2.0))
    assert collide(a, (4.0, 2.0), along - [0.8, 0, 0], (4.0, 2.0))
    assert not collide(a, (4.0, 2.0), across, (4.0, 2.0))
    assert collide(a, (4.0, 2.0), across - [0.5, 0, 0], (4.0, 2.0))


def test_a_wall_beside_the_line_is_not_in_the_way():
    wall = Placed(body([Solid(BOX, (0, 0, 1), (20, 0.3, 2), Kind.WALL, 0.3)]), (0.0, 0.0, 0.0))
    line = np.stack([np.linspace(-10, 10, 20), np.full(20, 3.0)], axis=-1)
    assert blocks(wall, line, 3.0)
    assert not blocks(wall, line, 2.0)
    far = Placed(wall.body, (0.0, 90.0, 0.0))
    assert clear_of([wall, far], line, 3.0).tolist() == [False, True]
    assert clear_of([wall, far], line, 2.0).all()
    assert clear_of([], line, 2.0).shape == (0,)
    bridge = Placed(body([Solid(BOX, (0, 0, 5), (20, 9, 1), Kind.WALL, 0.3)]), (0.0, 0.0, 0.0))
    assert not blocks(bridge, line, 3.0)


@pytest.mark.parametrize(("left", "blocked"), [(1.9, True), (2.3, False)])
def test_a_car_parked_along_a_line_blocks_it_by_its_width_not_its_length(left, blocked):
    vehicle = draw_vehicle(np.random.default_rng(4), Kind.CAR)
    car = Placed(vehicle.body, (0.0, left, 0.0), parked=True)
    line = np.stack([np.linspace(-10, 10, 50), np.zeros(50)], axis=-1)
    assert blocks(car, line, 2.1 - vehicle.width / 2) == blocked
    assert clear_of([car], line, 2.1 - vehicle.width / 2)[0] == (not blocked)
