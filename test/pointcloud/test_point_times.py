"""Times of points, as the drivers write them."""

import numpy as np
import pytest
from cloud_harness import LAYOUTS, make_cloud

from kdmos_ros.defaults import TIME_BASES, TIME_UNITS
from kdmos_ros.errors import CloudError
from kdmos_ros.pointcloud.codec import decode
from kdmos_ros.pointcloud.layout import Field, read_layout
from kdmos_ros.pointcloud.point_times import TimeFormat, read_point_times

STAMP_NS = 1_700_000_123_400_000_000
STAMP_S = STAMP_NS * 1e-9
N = 48
SWEEP = np.linspace(0, 0.1, N)  # seconds after the first point


def read(layout, values, stamp_ns=STAMP_NS, change=None, **form):
    message, _ = make_cloud(layout, width=N // LAYOUTS[layout][1], values=values)
    if change:
        change(message)
    return read_point_times(
        read_layout(message), decode(message).points, stamp_ns, TimeFormat(**form)
    )


def reason(*args, **options):
    with pytest.raises(CloudError) as caught:
        read(*args, **options)
    assert "\n" not in str(caught.value)
    return caught.value.reason, str(caught.value)


# -- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "stamp_of_point"])
def test_missing_field_is_named_with_the_remedy(name):
    why, text = reason("kitti", {}, field=name)
    assert why == "no_point_time"
    assert (name or "timestamp") in text
    assert "x, y, z, intensity" in text
    assert "time_field" in text


def test_field_of_unknown_datatype_is_none():
    def spoil(message):
        message.fields[5] = Field("time", 18, 77, 1)

    assert reason("velodyne", {}, change=spoil)[0] == "no_point_time"


def test_field_that_the_driver_does_not_fill():
    why, text = reason("velodyne", {"time": np.zeros(N)})
    assert why == "bad_point_time"
    assert "'time'" in text


def test_a_counter_that_wraps_within_the_sweep():
    """The nanoseconds of a uint32 wrap every 4.3 s."""
    since = np.round(SWEEP * 1e9)
    wrapped = ((2.0**32 - 3e7 + since) % 2.0**32).astype(np.uint32)
    assert wrapped.max() - wrapped.min() > 4e9
    times = read("ouster_organised", {"t": wrapped}, base="start")
    np.testing.assert_allclose(times.seconds, SWEEP, atol=1e-6)
    why, text = reason("ouster_organised", {"t": wrapped})
    assert why == "bad_point_time" and "time_base" in text


def test_wrong_unit_is_found_out():
    why, text = reason("velodyne", {"time": SWEEP * 1e3}, unit="s")  # they are milliseconds
    assert why == "bad_point_time"
    assert "'time'" in text and "time_unit" in text


def test_clock_of_its_own_needs_a_base():
    values = {"timestamp": 5000.0 + SWEEP}  # since the sensor was switched on
    why, text = reason("hesai", values)
    assert why == "bad_point_time"
    assert "'timestamp'" in text and "time_base" in text
    times = read("hesai", values, base="start")
    np.testing.assert_allclose(times.seconds, SWEEP, atol=1e-6)


# -- drivers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "values", "form", "expected"),
    [
        # Velodyne: seconds from the stamp, which is the last packet's: negative.
        ("velodyne", {"time": SWEEP - 0.1}, {}, SWEEP - 0.1),
        ("velodyne", {"time": SWEEP}, {}, SWEEP),
        ("ouster_organised", {"t": SWEEP * 1e9}, {}, SWEEP),
        ("hesai", {"timestamp": STAMP_S + SWEEP}, {}, SWEEP),
        ("robosense", {"timestamp": STAMP_S + SWEEP - 0.1}, {}, SWEEP - 0.1),
        ("livox", {"timestamp": STAMP_NS + SWEEP * 1e9}, {}, SWEEP),
        ("livox", {"timestamp": STAMP_NS + SWEEP * 1e9}, {"unit": "ns", "base": "absolute"}, SWEEP),
        ("autoware_xyzircaedt", {"time_stamp": SWEEP * 1e9}, {}, SWEEP),
        ("hesai", {"timestamp": SWEEP * 1e6}, {"unit": "us"}, SWEEP),
        ("hesai", {"timestamp": (STAMP_S + SWEEP) * 1e3}, {"unit": "ms"}, SWEEP),
    ],
)
def test_times_of_every_driver(layout, values, form, expected):
    times = read(layout, values, **form)
    # A float64 of seconds since 1970 resolves 0.24 microseconds.
    np.testing.assert_allclose(times.seconds, expected, atol=5e-7)
    assert times.seconds.dtype == np.float32
    assert (times.first, times.last) == pytest.approx((expected[0], expected[-1]), abs=5e-7)


@pytest.mark.parametrize(
    ("base", "shift"), [("stamp", 0.02), ("start", 0), ("middle", -0.05), ("end", -0.1)]
)
def test_where_in_the_sweep_the_stamp_is(base, shift):
    times = read("velodyne", {"time": SWEEP + 0.02}, base=base)
    np.testing.assert_allclose(times.seconds, SWEEP + shift, atol=1e-7)


def test_automatic_base_follows_the_values():
    offsets = read("hesai", {"timestamp": SWEEP})
    absolute = read("hesai", {"timestamp": STAMP_S + SWEEP})
    np.testing.assert_allclose(offsets.seconds, absolute.seconds, atol=5e-7)


def test_simulated_time_near_zero():
    stamp = 200_000_000
    np.testing.assert_allclose(
        read("hesai", {"timestamp": 0.2 + SWEEP}, stamp_ns=stamp).seconds, SWEEP, atol=1e-7
    )
    np.testing.assert_allclose(
        read("ouster_organised", {"t": SWEEP * 1e9}, stamp_ns=stamp).seconds, SWEEP, atol=1e-7
    )


def test_points_without_a_return_do_not_count():
    """Drivers fill in anything there; it must not stretch the sweep."""
    time = STAMP_S + SWEEP
    xyz = {name: np.full(N, 3.0) for name in "xyz"}
    time[[3, 7]] = 0, np.nan
    for values in xyz.values():
        values[[3, 7]] = 0, np.nan
    times = read("hesai", {"timestamp": time, **xyz})
    assert (times.first, times.last) == pytest.approx((0, 0.1), abs=5e-7)
    kept = np.delete(np.arange(N), [3, 7])
    np.testing.assert_allclose(times.seconds[kept], SWEEP[kept], atol=5e-7)


def test_return_without_a_time_is_marked():
    time = SWEEP.copy()
    time[4] = np.nan
    times = read("velodyne", {"time": time})
    assert np.isnan(times.seconds[4])
    assert np.isfinite(np.delete(times.seconds, 4)).all()


@pytest.mark.parametrize("width", [0, 3])
def test_nothing_returned(width):
    zeros = {name: np.zeros(width) for name in "xyz"}
    message, _ = make_cloud("velodyne", width=width, values=zeros)
    times = read_point_times(read_layout(message), decode(message).points, STAMP_NS, TimeFormat())
    assert (times.first, times.last, len(times.seconds)) == (0, 0, width)


def test_big_endian_and_padded():
    message, _ = make_cloud(
        "ouster_organised", N // 4, padding=5, big_endian=True, values={"t": SWEEP * 1e9}
    )
    times = read_point_times(read_layout(message), decode(message).points, STAMP_NS, TimeFormat())
    np.testing.assert_allclose(times.seconds, SWEEP, atol=1e-7)


def test_choices():
    assert TIME_UNITS == ("auto", "s", "ms", "us", "ns")
    assert TIME_BASES == ("auto", "absolute", "stamp", "start", "middle", "end")


# -- units and epochs that a driver does not tell ------------------------------------------------

MANY = 400
LONG_SWEEP = np.linspace(0, 0.1, MANY)


def read_many(layout, values, **form):
    message, _ = make_cloud(layout, width=MANY // LAYOUTS[layout][1], values=values)
    points = decode(message).points
    return read_point_times(read_layout(message), points, STAMP_NS, TimeFormat(**form))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("since", ["stamp", "1970"])
def test_unit_and_epoch_of_a_float_are_found(unit, since):
    scale = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
    start = STAMP_S if since == "1970" else 0.0
    times = read_many("hesai", {"timestamp": (start + LONG_SWEEP) * scale})
    np.testing.assert_allclose(times.seconds, LONG_SWEEP, atol=2e-6)


@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("rate", [5, 10, 20, 50])
def test_unit_of_an_integer_is_found(unit, rate):
    sweep = LONG_SWEEP * 10 / rate
    scale = {"us": 1e6, "ns": 1e9}[unit]
    times = read_many("ouster_organised", {"t": np.round(sweep * scale)})
    np.testing.assert_allclose(times.seconds, sweep, atol=2e-6)


def test_unit_that_was_set_and_is_too_short_for_a_sweep():
    with pytest.raises(CloudError, match=r"'t' spans 0\.1 ms \(taken as ns\).*100 ms taken as us"):
        read_many("ouster_organised", {"t": np.round(LONG_SWEEP * 1e6)}, unit="ns")


def test_few_neighbouring_points_keep_the_usual_unit():
    times = read("ouster_organised", {"t": np.round(SWEEP * 1e6)})
    assert times.last == pytest.approx(1e-4)


@pytest.mark.parametrize("since", [1_700_000_000.0, 1.7e15])
def test_float32_cannot_hold_times_since_1970(since):
    why, text = reason("velodyne", {"time": np.full(N, since)})
    assert why == "bad_point_time"
    assert "float32 cannot hold" in text and "'time'" in text


# -- a few times that cannot be ------------------------------------------------------------------


@pytest.mark.parametrize("stray", [0.0, -5.0, 1e9, 3e18, STAMP_S + 100])
@pytest.mark.parametrize("index", [0, 17, MANY - 1])
@pytest.mark.parametrize("start", [STAMP_S, 7.0])
def test_a_single_absurd_time_costs_its_point_only(stray, index, start):
    values = start + LONG_SWEEP
    values[index] = stray
    times = read_many("hesai", {"timestamp": values}, base="start")
    kept = np.arange(MANY) != index
    assert np.isnan(times.seconds[index])
    origin = LONG_SWEEP[kept][0]
    np.testing.assert_allclose(times.seconds[kept], LONG_SWEEP[kept] - origin, atol=2e-6)
    assert (times.first, times.last) == pytest.approx((0, LONG_SWEEP[kept][-1] - origin), abs=2e-6)


@pytest.mark.parametrize("stray", [0xFFFFFFFF, 2_000_000_000])
def test_a_single_absurd_time_does_not_hide_the_unit(stray):
    values = np.round(LONG_SWEEP * 1e6)
    values[33] = stray
    times = read_many("ouster_organised", {"t": values})
    kept = np.arange(MANY) != 33
    np.testing.assert_allclose(times.seconds[kept], LONG_SWEEP[kept], atol=2e-6)


def test_many_absurd_times_are_an_error():
    values = np.round(LONG_SWEEP * 1e9)
    values[::20] = 0xFFFFFFFF
    with pytest.raises(CloudError, match="too long for a sweep"):
        read_many("ouster_organised", {"t": values})
