import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdmos_ros.errors import PoseError
from kdmos_ros.geometry.transforms import from_pose, make_transform
from kdmos_ros.poses.buffer import PoseBuffer

SECOND = 1_000_000_000


def pose(x, yaw=0.0):
    return from_pose([x, 0, 0], [0, 0, math.sin(yaw / 2), math.cos(yaw / 2)])


def filled(*stamps_s, **options):
    buffer = PoseBuffer(**options)
    for stamp in stamps_s:
        buffer.add(round(stamp * SECOND), pose(stamp))
    return buffer


def reason_at(buffer, stamp_s):
    with pytest.raises(PoseError) as caught:
        buffer.at(round(stamp_s * SECOND))
    return caught.value.reason


def test_empty():
    assert reason_at(PoseBuffer(), 1) == "empty"


def test_never_extrapolates():
    buffer = filled(1.0, 1.1)
    assert reason_at(buffer, 1.1 + 1.1e-3) == "too_new"
    assert reason_at(buffer, 1.0 - 1.1e-3) == "too_old"


@pytest.mark.parametrize("off", [1e-9, 1e-7, 9e-4])
def test_stamps_that_went_through_a_double_are_those_of_the_poses(off):
    buffer = filled(1.0, 1.1)
    np.testing.assert_array_equal(buffer.at(round((1.1 + off) * SECOND)), pose(1.1))
    np.testing.assert_array_equal(buffer.at(round((1.0 - off) * SECOND)), pose(1.0))
    buffer = filled(1.0, 1.7, max_gap_s=0.5)
    np.testing.assert_array_equal(buffer.at(round((1.0 + off) * SECOND)), pose(1.0))
    np.testing.assert_array_equal(buffer.at(round((1.7 - off) * SECOND)), pose(1.7))
    np.testing.assert_array_equal(filled(1.0).at(round((1.0 + off) * SECOND)), pose(1.0))


def test_dense_poses_are_interpolated_and_waited_for():
    buffer = filled(1.0, 1.0005, 1.001)
    np.testing.assert_allclose(buffer.at(1_000_250_000), pose(1.00025))
    assert reason_at(buffer, 1.0012) == "too_new"
    np.testing.assert_array_equal(buffer.at(1_001_000_000 + 100), pose(1.001))


def test_no_interpolation_across_a_gap():
    buffer = filled(1.0, 1.6, 1.7, max_gap_s=0.5)
    assert reason_at(buffer, 1.3) == "gap"
    np.testing.assert_array_equal(buffer.at(round(1.6 * SECOND)), pose(1.6))
    np.testing.assert_allclose(buffer.at(round(1.65 * SECOND)), pose(1.65))


@pytest.mark.parametrize(
    "bad", [np.full((4, 4), np.nan), np.eye(3), np.full((4, 4), np.inf), np.zeros(16)]
)
def test_bad_poses_are_refused(bad):
    buffer = PoseBuffer()
    with pytest.raises(ValueError, match="pose must be"):
        buffer.add(1, bad)
    assert len(buffer) == 0


def test_exact_hits_are_returned_as_they_are():
    buffer = filled(1.0, 1.1, 1.2)
    for stamp in (1.0, 1.1, 1.2):
        np.testing.assert_array_equal(buffer.at(round(stamp * SECOND)), pose(stamp))


def test_rotation_is_spherical_and_translation_linear():
    buffer = PoseBuffer()
    buffer.add(0, pose(0, yaw=0.0))
    buffer.add(100, pose(2, yaw=1.0))
    np.testing.assert_allclose(buffer.at(25), pose(0.5, yaw=0.25), atol=1e-12)


def test_buffer_keeps_its_own_copy():
    buffer, mine = PoseBuffer(), pose(1)
    buffer.add(5, mine)
    mine[0, 3] = 99
    assert buffer.at(5)[0, 3] == 1
    with pytest.raises(ValueError, match="read-only"):
        buffer.at(5)[0, 3] = 99


def test_late_poses_are_sorted_in_and_counted():
    buffer = filled(1.0, 1.4, 1.2)
    np.testing.assert_allclose(buffer.at(round(1.3 * SECOND)), pose(1.3))
    assert (buffer.out_of_order, buffer.added) == (1, 3)


def test_of_duplicates_the_first_stays():
    buffer = filled(1.0, 1.1)
    buffer.add(round(1.1 * SECOND), pose(99))
    buffer.add(round(1.0 * SECOND), pose(99))
    assert buffer.duplicates == 2
    assert buffer.at(round(1.1 * SECOND))[0, 3] == 1.1


def test_old_poses_are_forgotten():
    buffer = filled(*np.arange(0, 30, 0.1), max_seconds=2.0)
    assert len(buffer) == 21
    assert reason_at(buffer, 27.5) == "too_old"
    buffer.at(round(28.0 * SECOND))


def test_late_poses_beyond_the_window_are_counted():
    buffer = filled(1.0, 1.5, 0.9, max_seconds=0.5)
    assert (buffer.expired, len(buffer)) == (1, 2)


def test_unlimited_buffer():
    buffer = filled(*range(10_000), max_seconds=math.inf, max_gap_s=math.inf)
    assert buffer.at(SECOND // 2)[0, 3] == pytest.approx(0.5)


def test_clock_that_starts_anew_empties_the_buffer():
    buffer = filled(100.0, 100.1, 5.0, 5.1)
    assert (buffer.restarts, buffer.generation, len(buffer)) == (1, 1, 2)
    np.testing.assert_allclose(buffer.at(round(5.05 * SECOND)), pose(5.05))


def test_one_stamp_from_the_future_does_no_lasting_harm():
    buffer = filled(1.0, 1.1, 5000.0, 1.2, 1.3)
    np.testing.assert_allclose(buffer.at(round(1.25 * SECOND)), pose(1.25))


@pytest.mark.parametrize("step", [0.01, 0.1, 0.2])
def test_jumps_are_noticed(step):
    buffer = PoseBuffer(max_jump_m=1.0)
    stamps = [round(i * step * SECOND) for i in range(20)]
    for i, stamp in enumerate(stamps):
        buffer.add(stamp, pose(20.0 * i * step + (2.5 if i >= 10 else 0)))
    assert buffer.jumps == 1
    assert buffer.generation == 1
    with pytest.raises(PoseError, match="odometry"):
        buffer.at(stamps[9] + 1)  # nothing between the two sides of a jump
    buffer.at(stamps[15])


@pytest.mark.parametrize("rate", [5, 10, 100])
def test_hard_braking_with_noise_is_no_jump(rate):
    rng = np.random.default_rng(0)
    buffer = PoseBuffer(max_jump_m=1.0)
    position, speed = 0.0, 30.0
    for i in range(5 * rate):
        buffer.add(round(i / rate * SECOND), pose(position + rng.normal(0, 0.05)))
        position += speed / rate
        speed = max(0.0, speed - 10.0 / rate)
    assert buffer.jumps == 0


def test_clear_counts_a_generation():
    buffer = filled(1.0)
    buffer.clear()
    assert (len(buffer), buffer.generation) == (0, 1)


def test_wait_returns_what_arrives_meanwhile():
    buffer = filled(1.0)
    timer = threading.Timer(0.05, lambda: buffer.add(round(1.1 * SECOND), pose(1.1)))
    timer.start()
    found, generation, _ = buffer.wait(round(1.05 * SECOND), timeout_s=30)
    np.testing.assert_allclose(found, pose(1.05))
    assert generation == 0


def test_wait_gives_up():
    with pytest.raises(PoseError) as caught:
        filled(1.0).wait(round(1.05 * SECOND), timeout_s=0.01)
    assert caught.value.reason == "timeout"
    assert "50.0 ms" in str(caught.value)


@pytest.mark.parametrize("stamp", [0.5, 1.5])
def test_wait_does_not_wait_for_what_cannot_come(stamp):
    with pytest.raises(PoseError) as caught:
        filled(1.0, 2.0).wait(round(stamp * SECOND), timeout_s=3600)
    assert caught.value.reason in ("too_old", "gap")


def test_interrupt_ends_waiting():
    buffer = PoseBuffer()
    threading.Timer(0.05, buffer.interrupt).start()
    with pytest.raises(PoseError) as caught:
        buffer.wait(1, timeout_s=3600)
    assert caught.value.reason == "timeout"


@given(
    st.lists(st.integers(0, SECOND), min_size=2, max_size=30, unique=True),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_any_order_gives_the_same_answers(stamps, fraction):
    ordered, shuffled = PoseBuffer(max_gap_s=2), PoseBuffer(max_gap_s=2)
    for stamp in sorted(stamps):
        ordered.add(stamp, make_transform(np.eye(3), [stamp * 1e-9, 0, 0]))
    for stamp in stamps:
        shuffled.add(stamp, make_transform(np.eye(3), [stamp * 1e-9, 0, 0]))
    asked = round(min(stamps) + fraction * (max(stamps) - min(stamps)))
    np.testing.assert_array_equal(ordered.at(asked), shuffled.at(asked))
    assert ordered.at(asked)[0, 3] == pytest.approx(asked * 1e-9, abs=1e-9)


# -- relocalisation, loop closure, gaps, late poses ------------------------------------------------


def driven(n=10, step=0.1, **options):
    """20 m/s along x."""
    buffer = PoseBuffer(max_jump_m=1.0, **options)
    for i in range(n):
        buffer.add(round(i * step * SECOND), pose(2.0 * i))
    return buffer


def test_turn_of_the_odometry_is_a_jump():
    buffer = driven()
    notice = buffer.add(SECOND, pose(20.0, yaw=0.8))
    assert (buffer.jumps, buffer.generation, len(buffer)) == (1, 1, 1)
    assert notice == buffer.why
    assert "jumped" in notice and "46 degrees" in notice


def test_loop_closure_says_how_far_it_went():
    buffer = driven()
    assert "1.5 m off its course" in buffer.add(SECOND, pose(18.5))
    assert "1.5 m" in buffer.why


def test_late_poses_from_before_a_jump_are_left_out():
    buffer = driven()
    for i in range(3):
        buffer.add(round((1.1 + i / 10) * SECOND), pose(102 + 2.0 * i))
    assert buffer.jumps == 1
    notice = buffer.add(SECOND, pose(20.0))
    assert "late pose" in notice
    assert (buffer.outliers, buffer.out_of_order, buffer.generation) == (1, 0, 1)
    assert reason_at(buffer, 1.05) == "too_old"
    buffer.add(round(1.25 * SECOND), pose(25.0))  # between two of the new ones
    assert buffer.outliers == 2
    np.testing.assert_allclose(buffer.at(round(1.25 * SECOND)), pose(105.0))


def test_late_pose_beyond_a_gap_in_front_of_all_is_of_no_use():
    buffer = filled(10.0, 10.1, 9.2, max_gap_s=0.5)
    assert (buffer.expired, len(buffer)) == (1, 2)


def test_poses_after_a_gap_are_of_a_new_generation_those_before_stay():
    buffer = filled(1.0, 1.1)
    notice = buffer.add(2 * SECOND, pose(2.0))
    buffer.add(round(2.1 * SECOND), pose(2.1))
    assert "gap of 0.90 s" in notice and notice == buffer.why
    assert buffer.gaps == 1
    assert [buffer.wait(round(t * SECOND), 0)[1] for t in (1.0, 1.05, 1.1)] == [0, 0, 0]
    assert [buffer.wait(round(t * SECOND), 0)[1] for t in (2.0, 2.05)] == [1, 1]


def test_jump_within_a_gap_begins_a_generation_too():
    buffer = driven()
    buffer.add(3 * SECOND, pose(500.0))
    assert buffer.wait(3 * SECOND, 0)[1] == 1


def test_restart_says_so():
    buffer = filled(100.0)
    assert "went back by 95.0 s" in buffer.add(5 * SECOND, pose(0))


@pytest.mark.parametrize("spacing", [1, 1000, 1_000_000])
def test_bursts_of_almost_equal_stamps_are_no_jumps(spacing):
    rng = np.random.default_rng(1)
    buffer = PoseBuffer(max_jump_m=1.0)
    for i in range(40):
        for k in range(2):
            buffer.add(i * SECOND // 10 + k * spacing, pose(2.0 * i + rng.normal(0, 0.03)))
    assert buffer.jumps == 0


def test_figures_count_everything():
    figures = filled(1.0, 1.2, 1.1, 1.1).figures()
    assert figures == {
        "added": 3, "duplicates": 1, "out_of_order": 1, "expired": 0, "outliers": 0, "gaps": 0,
        "jumps": 0, "restarts": 0,
    }  # fmt: skip


def test_a_user_that_lags_behind_a_restart_keeps_the_new_poses():
    """Clouds wait in a queue while all odometry of a bag's second round has come already."""
    second = 1_000_000_000
    buffer = PoseBuffer(max_seconds=100)
    for stamp in range(4):
        buffer.add(stamp * second // 2 + 10 * second, np.eye(4))
    buffer.wait(11 * second, 0)
    for stamp in range(6):
        buffer.add(stamp * second // 2, np.eye(4))
    buffer.rewind(0)
    buffer.wait(0, 0)
    # The next time it is set back, these are the poses of the past.
    buffer.rewind(0)
    with pytest.raises(PoseError) as error:
        buffer.at(0)
    assert error.value.reason == "empty"


def test_two_clocks_are_named():
    """PTP counts 37 s more than UTC; a clock may also count from when its computer was started."""
    buffer = filled(100.0, 100.1)
    with pytest.raises(
        PoseError, match=r"^the clouds are 37\.0 s ahead of the odometry: two clocks"
    ):
        buffer.at(round(137.1 * SECOND))
    with pytest.raises(PoseError, match=r"the clouds are 40\.0 s behind the odometry: two clocks"):
        buffer.at(round(60.0 * SECOND))
    with pytest.raises(PoseError, match=r"two clocks\?$") as caught:
        buffer.wait(round(137.1 * SECOND), 0.0)
    assert caught.value.reason == "timeout"
