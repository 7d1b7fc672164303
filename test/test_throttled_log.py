import pytest
from logger_harness import Logger

from kdmos_ros import throttled_log


@pytest.fixture
def clock(monkeypatch):
    class Time:
        now = 1.0

    monkeypatch.setattr(throttled_log.time, "monotonic", lambda: Time.now)
    return Time


def test_a_storm_becomes_one_line_that_says_how_many_were_left_out(clock):
    logger = Logger()
    log = throttled_log.ThrottledLog(logger, period_s=5)
    for _ in range(100):
        log.error("short_data", "cloud is short")
    clock.now += 5
    log.error("short_data", "cloud is short")
    assert logger.entries == [
        ("error", "cloud is short"),
        ("error", "cloud is short (99 more like this before)"),
    ]


def test_one_kind_does_not_hide_another(clock):
    logger = Logger()
    log = throttled_log.ThrottledLog(logger, period_s=5)
    log.error("a", "first")
    log.warning("b", "second")
    assert logger.entries == [("error", "first"), ("warning", "second")]
