import pytest

from kdmos_ros.pipeline.delivery_watch import SILENCE_S, DeliveryWatch

SECOND = 1_000_000_000


def watch_with(stamps_s, now_s=100.0, **options):
    watch = DeliveryWatch(**options)
    for stamp in stamps_s:
        watch.arrived(round(stamp * SECOND), now_s)
    return watch


def complaint(watch, now_s=100.0, publishers=1):
    """The complaint at now_s, with a publisher there since before the first arrival."""
    watch.complaint(min(now_s, 50.0), publishers, "/points")
    return watch.complaint(now_s, publishers, "/points")


def test_no_publisher_is_no_fault():
    assert complaint(watch_with([]), publishers=0) is None


def test_publisher_gets_time_to_send_its_first_cloud():
    watch = watch_with([])
    assert watch.complaint(100.0, 0, "/points") is None
    assert watch.complaint(500.0, 1, "/points") is None
    assert watch.complaint(500.0 + SILENCE_S - 0.1, 1, "/points") is None
    assert watch.complaint(500.0 + SILENCE_S + 0.1, 1, "/points") is not None
    assert watch.complaint(600.0, 0, "/points") is None
    assert watch.complaint(601.0, 1, "/points") is None


def test_a_silent_publisher_is_not_blamed_on_the_network():
    text = complaint(watch_with([]), now_s=50 + SILENCE_S + 0.1)
    assert text == "no cloud arrives on /points: its 1 publisher(s) are silent"


def test_driver_that_falls_silent_is_not_blamed_on_the_network():
    watch = watch_with([i / 10 for i in range(30)], now_s=100)
    assert complaint(watch, now_s=100 + SILENCE_S - 0.1) is None
    text = complaint(watch, now_s=100 + SILENCE_S + 0.1)
    assert text == "no cloud arrives any more on /points: its 1 publisher(s) are silent"


@pytest.mark.parametrize(("arrived", "lost", "blamed"), [(0, 30, True), (1, 39, True),
                                                         (20, 5, True), (100, 5, False),
                                                         (0, 2, False)])  # fmt: skip
def test_clouds_that_the_middleware_lost_are_counted_and_explained(arrived, lost, blamed):
    watch = watch_with([i / 10 for i in range(arrived)], now_s=100)
    for _ in range(lost):
        watch.lost_on_the_way(1, 100)
    text = complaint(watch, now_s=101) or ""
    assert watch.lost == lost
    assert ("config/fastdds_profile.xml" in text) == blamed
    assert (f"{lost} of {arrived + lost} clouds of /points were lost on the way" in text) == blamed


def test_losses_of_long_ago_are_counted_but_no_complaint():
    watch = DeliveryWatch()
    watch.lost_on_the_way(50, 100)
    for i in range(30):
        watch.arrived(i * SECOND // 10, 120)
    assert complaint(watch, now_s=120) is None
    assert watch.lost == 50


@pytest.mark.parametrize("rate", [5, 10, 20])
def test_regular_arrivals_are_fine(rate):
    assert complaint(watch_with([i / rate for i in range(30)])) is None


def test_one_of_forty_is_noticed_without_knowing_the_rate():
    assert "only 0.2 clouds per second" in complaint(watch_with([0, 4.0, 8.0]))


def test_gaps_between_arrivals_are_noticed_by_the_shortest_step():
    stamps = [i * 0.05 for i in range(100) if i % 10 in (0, 1)]
    text = complaint(watch_with(stamps))
    assert "about 20.0 are expected" in text
    assert "Fast DDS" not in text, "none was lost on the way"


def test_slow_sensor_is_fine_when_its_rate_is_given():
    stamps = range(0, 40, 2)
    assert complaint(watch_with(stamps)) is not None
    assert complaint(watch_with(stamps, expected_rate_hz=0.5)) is None


def test_looping_bag_is_fine():
    stamps = [*(i / 10 for i in range(30)), *(i / 10 for i in range(20))]
    assert complaint(watch_with(stamps)) is None
