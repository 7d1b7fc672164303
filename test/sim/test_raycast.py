"""Ray casting against plain, slow geometry; occlusion; sweep distortion."""

import numpy as np
import pytest

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.object_kinds import Kind
from kdmos_ros.sim.odometry_noise import rotation
from kdmos_ros.sim.ray_records import BOX, CYLINDER, ELLIPSOID
from kdmos_ros.sim.scan_rendering import Renderer
from kdmos_ros.sim.sensors import Sensor, make_rays
from kdmos_ros.sim.solids import COLUMNS, Solid, body
from kdmos_ros.sim.terrain import CELL, Ground
from kdmos_ros.sim.traffic import Track, clock, standing
from kdmos_ros.sim.world import Actor, Placed, Plan, World

BEAMS = tuple(np.linspace(-20, 15, 24).tolist())
# A sensor without noise or losses worth mentioning.
EXACT = Sensor("exact", BEAMS, 360, range_noise=0.0, sensitivity=1e4, max_range=80.0)


def flat_ground(height: float = 0.0) -> Ground:
    grid = np.zeros((101, 101, 2), np.float32)
    grid[..., 0], grid[..., 1] = height, -50.0
    return Ground(grid, np.float32([-50 * CELL, -50 * CELL]), np.zeros(5, np.float32))


def world_of(solids, ground=None, actors=(), duration=1.0) -> World:
    """A world with these solids. Without a ground, it lies out of reach far below."""
    depth = 0.0 if ground else 300.0
    still = standing((0.0, 0.0, 0.0), len(clock(duration)))
    lift = np.zeros(COLUMNS)
    lift[3] = depth
    placed = [Placed(body([s]) + lift, (0.0, 0.0, 0.0)) for s in solids]
    actors = [Actor(a.body + lift, a.track, a.size) for a in actors]
    plan = Plan(ground or flat_ground(-depth), still, placed, actors)
    return World(plan, np.random.default_rng(0))


def sweep(world, pose=None, sensor=EXACT, end=None, times=(0.0, 0.0), seed=1):
    rays = make_rays(sensor, np.random.default_rng(seed), np.zeros(sensor.beams, np.float32))
    pose = np.eye(4) if pose is None else pose
    renderer = Renderer(world, sensor, np.full(3, 0.5))
    return rays, renderer.sweep(rays, [pose, pose if end is None else end], times, seed)


def slow_range(shape, center, half, axes, directions):
    """Range of the first entry into one solid, in float64, no culling."""
    o, d = -(axes @ center) / half, (directions.astype(float) @ axes.T) / half
    if shape == BOX:
        with np.errstate(divide="ignore"):
            low, high = np.sort([(-1 - o) / d, (1 - o) / d], axis=0)
        t_in, t_out = low.max(1), high.min(1)
    else:
        used = slice(0, 3) if shape == ELLIPSOID else slice(0, 2)
        a, b = (d[:, used] ** 2).sum(1), d[:, used] @ o[used]
        root = b**2 - a * ((o[used] ** 2).sum() - 1)
        r = np.sqrt(np.where(root > 0, root, np.nan))
        t_in, t_out = (-b - r) / a, (-b + r) / a
        if shape == CYLINDER:
            low, high = np.sort([(-1 - o[2]) / d[:, 2], (1 - o[2]) / d[:, 2]], axis=0)
            t_in, t_out = np.maximum(t_in, low), np.minimum(t_out, high)
    return np.where((t_in < t_out) & (t_in > 0), t_in, np.inf)


LEANING = [(0, 0, 0), (0, np.pi / 2, 0), (0.3, -0.8, 1.0), (np.pi, 0, 0)]


@pytest.mark.parametrize(
    ("seed", "attitude"), [*enumerate(LEANING), (4, LEANING[0]), (5, LEANING[0])]
)
def test_nearest_hit_equals_slow_geometry(seed, attitude):
    rng, turn = np.random.default_rng(seed), rotation(attitude)
    rows, expected = [], []
    rays = make_rays(EXACT, np.random.default_rng(1), np.zeros(EXACT.beams, np.float32))
    for k in range(40):
        shape = (BOX, CYLINDER, ELLIPSOID)[k % 3]
        azimuth, distance = rng.uniform(-np.pi, np.pi), rng.uniform(6, 60)
        center = np.array(
            [distance * np.cos(azimuth), distance * np.sin(azimuth), rng.normal(0, 3)]
        )
        size, angles = rng.uniform(0.2, 6, 3), rng.uniform(-3, 3, 3)
        rows.append(Solid(shape, tuple(center), tuple(size), Kind.WALL, 1.0, angles=tuple(angles)))
        axes = rotation(angles).T
        expected.append(slow_range(shape, center, size / 2, axes, rays.directions @ turn.T))
    expected = np.min(expected, axis=0)
    _, returns = sweep(world_of(rows), make_transform(turn, [0, 0, 0]))
    seen = np.isfinite(expected) & (expected < EXACT.max_range) & (expected > EXACT.min_range)
    want = rays.directions[seen] * expected[seen, None]
    # Rays that graze a rim may fall either way; a loss of 1.5 % is part of the sensor.
    got = {tuple(np.round(p / np.linalg.norm(p), 4)): np.linalg.norm(p) for p in returns.points}
    found = errors = 0
    for p in want:
        r = got.get(tuple(np.round(p / np.linalg.norm(p), 4).astype(np.float32)))
        if r is not None:
            found += 1
            errors += abs(r - np.linalg.norm(p)) > 5e-3 * (1 + 0.01 * r)
    assert len(want) > 100
    assert abs(len(returns.points) - len(want)) < 0.04 * len(want)
    assert found > 0.9 * len(want)
    assert errors < 0.03 * found  # mixed returns at depth edges


def test_nothing_is_seen_through_a_wall():
    wall = Solid(BOX, (10, 0, 0), (0.2, 8, 8), Kind.WALL, 1.0)
    hidden = Solid(BOX, (15, 0, 0), (1, 3, 1), Kind.OBJECT, 1.0)
    beside = Solid(BOX, (15, 12, 0), (1, 3, 1), Kind.OBJECT, 1.0)
    _, returns = sweep(world_of([wall, hidden, beside]))
    assert (returns.solid == 0).sum() > 100
    assert (returns.solid == 1).sum() == 0
    assert (returns.solid == 2).sum() > 5


def test_porous_growth_lets_rays_through_and_flickers():
    bush = Solid(ELLIPSOID, (10, 0, 0), (3, 3, 3), Kind.VEGETATION, 1.0, surface=0.0, density=0.4)
    wall = Solid(BOX, (20, 0, 0), (0.2, 30, 30), Kind.WALL, 1.0)
    world = world_of([bush, wall])
    first, second = (sweep(world, seed=s)[1] for s in (1, 2))
    leaves = first.points[first.solid == 0]
    ranges = np.linalg.norm(leaves, axis=1)
    behind = (np.abs(first.points[:, 1:]) < 0.1 * first.points[:, :1]).all(axis=1)
    assert ranges.std() > 0.4 and ranges.min() > 8.4 and ranges.max() < 11.6
    assert 0.2 < (first.solid[behind] == 1).mean() < 0.5  # exp(-0.4 * 2.5 m) on average
    assert len(first.points) != len(second.points)


def test_share_of_rays_stopped_by_a_pane():
    pane = Solid(BOX, (10, 0, 0), (0.02, 6, 4), Kind.FENCE, 1.0, surface=0.3)
    _, returns = sweep(world_of([pane]))
    _, solid_pane = sweep(world_of([Solid(BOX, (10, 0, 0), (0.02, 6, 4), Kind.FENCE, 1.0)]))
    # A ray has two chances: it meets the front only, since the pane is one solid.
    assert len(returns.points) / len(solid_pane.points) == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("attitude", [(0.02, 0.03, 0.7), *LEANING[1:]])
def test_flat_ground_is_hit_where_it_is(attitude):
    pose = make_transform(rotation(attitude), [3.0, -2.0, 1.7])
    rays, returns = sweep(world_of([], flat_ground()), pose)
    in_world = returns.points @ pose[:3, :3].T + pose[:3, 3]
    down = rays.directions @ pose[2, :3]
    expected = (down < -1.7 / EXACT.max_range).sum()
    assert np.abs(in_world[:, 2]).max() < 0.02
    assert 0.95 * expected < len(in_world) <= expected


def test_a_hill_hides_what_is_behind_it():
    ground = flat_ground()
    x = ground.origin[0] + CELL * np.arange(101)
    ground.grid[..., 0] = (2.5 * np.exp(-(((x - 20) / 5) ** 2)))[:, None]
    _, returns = sweep(world_of([], ground), make_transform(np.eye(3), [0, 0, 1.7]))
    x, y, z = (returns.points + np.array([0, 0, 1.7])).T
    ahead = np.abs(y) < 3
    assert ((x > 12) & (x < 20) & ahead).sum() > 20
    assert ((x > 21) & (x < 60) & ahead).sum() == 0
    assert np.abs(z - ground.height(x, y)).max() < 0.05


def test_sweep_distortion_moves_each_point_by_its_own_time():
    walls = [Solid(BOX, (s * 20, 0, 0), (0.2, 60, 30), Kind.WALL, 1.0) for s in (1, -1)]
    end = make_transform(np.eye(3), [2.0, 0.0, 0.0])
    _, returns = sweep(world_of(walls), end=end, times=(0.0, 0.1))
    azimuth = np.arctan2(returns.points[:, 1], returns.points[:, 0])
    fraction = (np.pi - azimuth) / (2 * np.pi)
    wall = np.where(returns.points[:, 0] > 0, 19.9, -19.9)
    assert len(returns.points) > 1000
    np.testing.assert_allclose(returns.points[:, 0], wall - 2.0 * fraction, atol=0.03)


@pytest.mark.parametrize("attitude", LEANING)
def test_a_leaning_sensor_sees_the_same_walls_while_it_turns(attitude):
    walls = [Solid(BOX, (s * 20, 0, 0), (0.2, 60, 60), Kind.WALL, 1.0) for s in (1, -1)]
    walls += [Solid(BOX, (0, s * 12, 0), (60, 0.2, 60), Kind.WALL, 1.0) for s in (1, -1)]
    walls += [Solid(BOX, (0, 0, s * 9), (60, 60, 0.2), Kind.WALL, 1.0) for s in (1, -1)]
    begin, yaw = make_transform(rotation(attitude), [0, 0, 0]), 0.3
    end = make_transform(rotation([0, 0, yaw]), [0.5, 0, 0]) @ begin
    rays, returns = sweep(world_of(walls), begin, end=end, times=(0.0, 0.1))
    angle = yaw * returns.fraction
    x, y, z = (returns.points @ begin[:3, :3].T).T
    x, y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    x += 0.5 * returns.fraction
    off = np.min([abs(abs(x) - 19.9), abs(abs(y) - 11.9), abs(abs(z) - 8.9)], axis=0)
    assert len(off) > 0.95 * len(rays.directions)
    assert np.quantile(off, 0.97) < 0.03  # some returns mix two walls


def test_a_moving_solid_is_sheared_within_a_sweep():
    times = clock(1.0)
    block = body([Solid(BOX, (0, 0, 0), (1, 40, 10), Kind.CAR, 1.0)])
    pose = np.stack([15 + 20 * (times - times[0]), 0 * times, 0 * times], axis=-1)
    track = Track(pose, np.full(len(times), 20.0), 0 * times, 0 * times)
    world = world_of([], actors=[Actor(block, track, (1.0, 40.0))])
    _, returns = sweep(world, times=(0.2, 0.3))
    azimuth = np.arctan2(returns.points[:, 1], returns.points[:, 0])
    fraction = (np.pi - azimuth) / (2 * np.pi)
    front = 15 + 20 * (0.2 - times[0]) - 0.5 + 2.0 * fraction
    np.testing.assert_allclose(returns.points[:, 0], front, atol=0.03)


def test_the_vehicles_own_body_blocks_steep_rays():
    limit = np.full(360, np.deg2rad(-90), np.float32)
    limit[180:270] = np.deg2rad(-8)  # ahead to the left
    rays = make_rays(EXACT, np.random.default_rng(1), np.zeros(EXACT.beams, np.float32))
    renderer = Renderer(world_of([], flat_ground()), EXACT, np.full(3, 0.5), blind_below=limit)
    pose = make_transform(np.eye(3), [0, 0, 2.0])
    points = renderer.sweep(rays, [pose, pose], (0.0, 0.0), 1).points
    quarter = (points[:, 0] > 0.1) & (points[:, 1] > 0.1)
    elevation = np.rad2deg(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
    assert elevation[quarter].min() > -8.1
    assert elevation[~quarter].min() < -19


def test_gaps_in_growth_stay_where_they_are():
    bush = Solid(ELLIPSOID, (8, 0, 0), (5, 5, 5), Kind.VEGETATION, 1.0, surface=0.0, density=0.6)
    world, counts = world_of([bush]), np.zeros((8, 8))
    sweeps = 30
    for seed in range(sweeps):  # by half a degree of elevation or so, and a degree of azimuth
        points = sweep(world, seed=seed)[1].points
        x, y, z = points[np.abs(points[:, 1]) < 0.3 * points[:, 0]].T
        column = np.floor(np.rad2deg(np.arctan2(y, x))).astype(int) + 4
        row = np.round((np.rad2deg(np.arctan2(z, np.hypot(x, y))) + 20) * 23 / 35).astype(int) - 9
        inside = (column >= 0) & (column < 8) & (row >= 0) & (row < 8)
        np.add.at(counts, (row[inside], column[inside]), 1)
    share = counts / sweeps
    alike = np.sqrt(share.mean() * (1 - share.mean()) / sweeps)  # spread if all were
    assert 0.4 < share.mean() < 0.95
    assert share.std() > 2 * alike


def test_dense_growth_has_no_gaps():
    hedge = Solid(BOX, (8, 0, 0), (1.0, 8, 4), Kind.VEGETATION, 1.0, surface=0.0, density=8.0)
    wall = Solid(BOX, (12, 0, 0), (0.2, 4, 2), Kind.WALL, 1.0)
    _, returns = sweep(world_of([hedge, wall]))
    assert (returns.solid == 1).sum() < 0.02 * (returns.solid == 0).sum()


@pytest.mark.parametrize(("distance", "seen"), [(14.0, True), (26.0, False)])
def test_thin_things_are_lost_beyond_their_range(distance, seen):
    mesh = Solid(BOX, (distance, 0, 0), (0.02, 8, 4), Kind.FENCE, 1.0, surface=0.6, fade=20.0)
    bush = Solid(BOX, (-distance, 0, 0), (2, 4, 4), Kind.VEGETATION, 1.0, surface=0.0,
                 density=2.0, fade=20.0)  # fmt: skip
    _, returns = sweep(world_of([mesh, bush]))
    for number in (0, 1):
        assert ((returns.solid == number).sum() > 20) == seen


def test_glass_returns_from_ahead_and_mesh_from_the_side():
    def share(gloss, yaw):
        def pane(surface):
            return Solid(BOX, (10, 0, 0), (0.02, 6, 4), Kind.FENCE, 1.0, surface=surface,
                         gloss=gloss, angles=(0, 0, yaw))  # fmt: skip

        counts = [len(sweep(world_of([pane(s)]))[1].points) for s in (0.4, 1.0)]
        return counts[0] / counts[1]

    assert share(3.0, 0.0) > 0.3 and share(3.0, 1.0) < 0.12
    assert share(-1.0, 0.0) < 0.5 and share(-1.0, 1.0) > 0.55
