import pytest

from kdmos_ros.pipeline.statistics import WINDOW_S, Statistics


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def statistics(clock):
    return Statistics(clock)


def test_nothing_yet(statistics):
    snapshot = statistics.snapshot()
    assert (snapshot.received, snapshot.labelled, snapshot.dropped) == (0, 0, {})
    assert snapshot.rate_hz == 0
    assert snapshot.latency_ms == {}


def test_totals_stay_and_recent_ones_go(statistics, clock):
    for _ in range(3):
        statistics.received()
    statistics.labelled({})
    statistics.dropped("short_data", "cloud is short")
    statistics.dropped("superseded")
    clock.now += WINDOW_S + 1
    statistics.received()
    statistics.dropped("superseded")
    snapshot = statistics.snapshot()
    assert (snapshot.received, snapshot.labelled) == (4, 1)
    assert snapshot.dropped == {"short_data": 1, "superseded": 2}
    assert snapshot.last_error == "cloud is short"
    assert (snapshot.recent_received, snapshot.recent_labelled) == (1, 0)
    assert snapshot.recent_dropped == {"superseded": 1}


def test_rate_is_of_labelled_scans(statistics, clock):
    for _ in range(30):
        clock.now += 0.1
        statistics.received()
        statistics.received()
        statistics.labelled({})
    assert statistics.snapshot().rate_hz == pytest.approx(10)


def test_latency_percentiles(statistics):
    for i in range(101):
        statistics.labelled({"bev": float(i)})
    assert statistics.snapshot().latency_ms == {"bev": (50.0, 90.0)}


def test_events_are_no_drops(statistics):
    statistics.event("reset")
    snapshot = statistics.snapshot()
    assert snapshot.events == {"reset": 1}
    assert snapshot.dropped == {}
