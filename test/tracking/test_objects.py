"""Clusters and tracks of moving points: on made-up blobs, and on simulated drives with truth."""

import numpy as np
import pytest

from kdmos_ros.geometry.transforms import transform
from kdmos_ros.labels import MOVING
from kdmos_ros.tracking.clusters import CELL_M, MIN_POINTS, find_clusters
from kdmos_ros.tracking.objects import ObjectTracker

SECOND = 1_000_000_000


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def blob(rng, x, y, n=60, size=(4.0, 1.8, 1.5)):
    """Points of a box around (x, y)."""
    return rng.uniform(-0.5, 0.5, (n, 3)) * size + [x, y, 0.75]


# -- clusters ------------------------------------------------------------------------------------


def test_clusters_are_the_groups_of_points(rng):
    blobs = [blob(rng, 0, 0, 200), blob(rng, 10, -3, 100), blob(rng, -40, 25, 60, (0.5, 0.5, 1.7))]
    order = rng.permutation(360)
    found = find_clusters(np.vstack(blobs)[order])
    assert [len(cluster.points) for cluster in found] == [200, 100, 60]
    for cluster, expected in zip(found, blobs, strict=True):
        assert sorted(map(tuple, cluster.points)) == sorted(map(tuple, expected))


@pytest.mark.parametrize("n", [0, 1, MIN_POINTS - 1])
def test_few_points_are_no_object(rng, n):
    assert find_clusters(blob(rng, 0, 0, n, (0.1, 0.1, 0.1))) == []


def test_a_long_thin_chain_is_one_cluster():
    """Many cells in a row and around corners: what takes the most rounds."""
    t = np.arange(0, 40, CELL_M / 2)
    spiral = np.column_stack([t * np.cos(t / 3), t * np.sin(t / 3), np.zeros_like(t)])
    # Fill the gaps between neighbours, so that each touches the next.
    dense = np.vstack([spiral[:-1] + f * np.diff(spiral, axis=0) for f in np.arange(0, 1, 0.1)])
    (cluster,) = find_clusters(dense)
    assert len(cluster.points) == len(dense)


def test_clusters_do_not_join_around_the_edge_of_the_grid():
    """Points in the last column of one row and the first of the next are far from each other."""
    left = np.tile([[0.1, 0.1, 0]], (MIN_POINTS, 1))
    right = np.tile([[0.1 + CELL_M, 0.1 + 20 * CELL_M, 0]], (MIN_POINTS, 1))
    assert len(find_clusters(np.vstack([left, right]))) == 2
    left[:, 0] += 2 * CELL_M
    assert len(find_clusters(np.vstack([right, left]))) == 2


def test_box_holds_the_points_and_follows_the_heading(rng):
    yaw = 0.6
    c, s = np.cos(yaw), np.sin(yaw)
    local = blob(rng, 0, 0, 3000)
    (cluster,) = find_clusters(local @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + [5, 6, 0])
    assert cluster.direction == pytest.approx(yaw, abs=0.05)
    centre, size = cluster.box(yaw)
    np.testing.assert_allclose(centre, [5, 6, 0.75], atol=0.05)
    np.testing.assert_allclose(size, [4, 1.8, 1.5], atol=0.05)


# -- tracks --------------------------------------------------------------------------------------


def follow(tracker, rng, scans, speed=(6.0, -2.0), start_s=0.0, step_s=0.1, **where):
    found = []
    for i in range(scans):
        t = i * step_s
        points = blob(rng, where.get("x", 3) + speed[0] * t, where.get("y", 2) + speed[1] * t)
        found.append(tracker.update(points, round((start_s + t) * SECOND)))
    return found


def test_speed_and_heading_of_one_object(rng):
    results = follow(ObjectTracker(), rng, 12)
    assert all(len(objects) == 1 for objects in results)
    assert [objects[0].velocity is None for objects in results[:3]] == [True, True, False]
    last = results[-1][0]
    np.testing.assert_allclose(last.velocity, [6, -2], atol=0.5)
    assert last.yaw == pytest.approx(np.arctan2(-2, 6), abs=0.1)
    assert {objects[0].id for objects in results} == {last.id}


@pytest.mark.parametrize("step_s", [0.05, 0.1, 0.2])
def test_speed_at_other_scan_rates(rng, step_s):
    last = follow(ObjectTracker(), rng, round(1.5 / step_s), step_s=step_s)[-1][0]
    np.testing.assert_allclose(last.velocity, [6, -2], atol=0.6)


def test_two_objects_that_meet_keep_their_ids(rng):
    tracker = ObjectTracker()
    ids = []
    for i in range(20):
        t = 0.1 * i
        points = np.vstack([blob(rng, -10 + 10 * t, 0), blob(rng, 10 - 10 * t, 3.5)])
        objects = {round(o.centre[1] / 3.5): o.id for o in tracker.update(points, i * SECOND // 10)}
        ids.append((objects[0], objects[1]))
    assert set(ids) == {ids[0]}


def test_an_object_that_is_hidden_for_a_moment_is_known_again(rng):
    tracker = ObjectTracker()
    before = follow(tracker, rng, 8)[-1][0]
    for i in range(3):
        assert tracker.update(np.empty((0, 3)), round((0.8 + 0.1 * i) * SECOND)) == []
    t = 1.1
    (after,) = tracker.update(blob(rng, 3 + 6 * t, 2 - 2 * t), round(t * SECOND))
    assert after.id == before.id
    assert after.velocity is not None


@pytest.mark.parametrize(
    ("stamp_s", "epoch"), [(0.2, 0), (30.0, 0), (0.8, 1)], ids=["back", "gap", "reset"]
)
def test_it_starts_afresh_with_the_node(rng, stamp_s, epoch):
    tracker, fresh = ObjectTracker(), ObjectTracker()
    follow(tracker, rng, 8)
    points = blob(rng, 3 + 6 * 0.8, 2 - 2 * 0.8)
    (used,) = tracker.update(points, round(stamp_s * SECOND), epoch)
    (new,) = fresh.update(points, round(stamp_s * SECOND), epoch)
    assert used.velocity is None
    np.testing.assert_array_equal(used.centre, new.centre)


def test_results_do_not_depend_on_what_comes_later(rng):
    a, b = ObjectTracker(), ObjectTracker()
    long = follow(a, np.random.default_rng(3), 10)
    short = follow(b, np.random.default_rng(3), 6)
    for one, other in zip(long, short, strict=False):
        np.testing.assert_array_equal(one[0].centre, other[0].centre)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "scene"), [(1, "street"), (3, "street")])
def test_speeds_on_simulated_drives(seed, scene):
    """Each track's speed against the speed of the road user that its points come from."""
    from kdmos_ros.sim import make_drive

    drive = make_drive(seed, scene=scene, movers=True, duration_s=2.5, rate_hz=10, ego="driving")
    tracker = ObjectTracker()
    errors = []
    for time, frame in zip(drive.times, drive, strict=True):
        moving = frame.labels == MOVING
        points = transform(frame.scan.pose, frame.scan.points[moving].astype(np.float64))
        truth = drive.world.speed_of_instance(float(time))
        for found in tracker.update(points, frame.scan.stamp_ns):
            inside = np.linalg.norm(points - found.centre, axis=1) < found.size.max() / 2 + 0.3
            instances, counts = np.unique(frame.instance[moving][inside], return_counts=True)
            alone = counts.max(initial=0) > 0.9 * inside.sum()
            if found.velocity is not None and alone and time > 0.7:
                wanted = truth[instances[counts.argmax()]]
                errors.append(abs(np.hypot(*found.velocity) - wanted))
    assert len(errors) > 50
    assert np.median(errors) < 0.5
    assert np.percentile(errors, 80) < 1.5
