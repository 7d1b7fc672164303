"""Pictures from above."""

import numpy as np
import pytest

pytest.importorskip("PIL")
from PIL import Image

from kdmos_ros.errors import KdmosError
from kdmos_ros.geometry.transforms import make_transform, quaternion_to_matrix
from kdmos_ros.labels import MOVABLE, MOVING, STATIC
from kdmos_ros.visualization.birds_eye import BACKGROUND, Canvas, View, height_colours
from kdmos_ros.visualization.pictures import (
    LabelledFrame,
    best_frame,
    draw_animation,
    draw_overview,
    save_animation,
)

MOUNT = make_transform(np.eye(3), [0, 0, 1.7])


def frame(labels, points, x: float = 0.0, stamp_ns: int = 0) -> LabelledFrame:
    return LabelledFrame(
        np.asarray(points, np.float32),
        np.asarray(labels, np.uint8),
        make_transform(np.eye(3), [x, 0, 1.7]),
        MOUNT,
        stamp_ns,
    )


def street(index: int, n: int = 3000) -> LabelledFrame:
    """A car that overtakes, a wall, a parked car."""
    rng = np.random.default_rng(index)
    wall = np.stack([rng.uniform(-40, 40, n), np.full(n, 12.0), rng.uniform(-1.7, 1, n)], 1)
    car = rng.uniform([index, 3, -1.7], [index + 4, 5, 0], (n, 3))
    parked = rng.uniform([10 - index, -8, -1.7], [14 - index, -6, 0], (n, 3))
    labels = np.repeat([STATIC, MOVING, MOVABLE], n)
    return frame(labels, np.concatenate([wall, car, parked]), float(index), index * 100_000_000)


def is_red(pixel) -> bool:
    r, g, b = (int(v) for v in pixel)
    return r > 150 and g < 100 and b < 100


@pytest.mark.parametrize(
    ("heading", "x", "y", "expected"),
    [
        (np.pi / 2, 0, 0, (50, 40)),
        (np.pi / 2, 10, 0, (60, 40)),
        (np.pi / 2, 0, 10, (50, 30)),
        (0.0, 10, 0, (50, 30)),
        (0.0, 0, 10, (40, 40)),
    ],
)
def test_view_puts_points_where_they_belong(heading, x, y, expected):
    view = View((100.0, 200.0), 1.0, (100, 80), heading)
    np.testing.assert_allclose(view.pixels(np.array([[100.0 + x, 200.0 + y]]))[0], expected)
    np.testing.assert_allclose(
        view.pixels(np.array([[100.0 + x, 200.0 + y]]), 3)[0], np.array(expected) * 3
    )


def test_points_outside_the_view_are_left_out():
    canvas = Canvas(View((0, 0), 1.0, (20, 10)))
    far = np.array([[1e6, 0], [0, -1e6], [10.5, 0], [0, 5.5], [-10.5, 0]])
    canvas.points(far, (255, 255, 255), radius=0)
    assert (np.asarray(canvas.finish().image) == BACKGROUND).all()


def test_a_point_colours_its_pixel_only():
    canvas = Canvas(View((0, 0), 1.0, (20, 10)), oversampling=1)
    canvas.points(np.array([[3.5, 2.5]]), (255, 0, 0))
    image = np.asarray(canvas.finish().image)
    assert tuple(image[2, 13]) == (255, 0, 0)
    assert (image != np.array(BACKGROUND)).any(axis=2).sum() == 1


def test_higher_is_lighter():
    colours = height_colours(np.array([-5.0, 0.0, 1.0, 3.0, 50.0]))
    assert colours.shape == (5, 3)
    assert (np.diff(colours[:, 0]) >= 0).all() and colours[0, 0] < colours[2, 0] < colours[4, 0]


def test_overview_shows_the_movers_in_red_and_the_vehicle_in_the_middle():
    frames = [street(i) for i in range(9)]
    path = np.array([f.base_pose[:3, 3] for f in frames])
    image = draw_overview(lambda: iter(frames), len(frames), path, ["a caption"], width=800)
    pixels = np.asarray(image)
    assert pixels.shape == (450, 800, 3)
    chosen = best_frame(frames, len(frames))
    # The vehicle looks to the right: 3 to 5 m to its left are above the middle.
    metre = 800 / 110
    x = 400 + 2 * metre  # the car is 0..4 m ahead of the sensor, whatever the frame
    ahead = chosen.points[chosen.labels == MOVING, 0].mean()
    x = 400 + ahead * metre
    assert is_red(pixels[int(225 - 4 * metre), int(x)])
    green = pixels[225, 400].astype(int)
    assert green[1] > 150 and green[0] < 120


def test_the_drive_to_the_north_looks_the_same():
    turn = make_transform(quaternion_to_matrix([0, 0, 1, 1]), [50, -20, 3])
    frames = [street(i) for i in range(5)]
    turned = [LabelledFrame(f.points, f.labels, turn @ f.pose, f.mount, f.stamp_ns) for f in frames]
    pictures = []
    for some in (frames, turned):
        path = np.array([f.base_pose[:3, 3] for f in some])
        pictures.append(np.asarray(draw_overview(lambda s=some: iter(s), 5, path, width=320)))
    difference = np.abs(pictures[0].astype(int) - pictures[1])
    assert (difference > 40).mean() < 0.01, "only rounding may differ"


def test_best_frame_prefers_a_wide_scene_to_a_near_lorry():
    rng = np.random.default_rng(1)
    lorry = rng.uniform(0, 2, (5000, 3))
    traffic = rng.uniform(-30, 30, (300, 3))
    frames = [
        frame([MOVING] * 5000, lorry),
        frame([MOVING] * 300, traffic),
        frame([MOVING] * 5000, lorry),
    ]
    assert best_frame(frames, 3) is frames[1]
    with pytest.raises(KdmosError):
        best_frame([], 0)


def test_rows_without_a_return_and_empty_scans_are_drawn():
    nothing = frame(np.zeros(0), np.zeros((0, 3)))
    broken = frame([0, 1, MOVING], [[np.nan] * 3, [np.inf, 0, 0], [5, 5, 0]])
    frames = [nothing, broken, nothing]
    path = np.zeros((1, 3))
    assert draw_overview(lambda: iter(frames), 3, path, width=160).size == (160, 90)
    assert len(list(draw_animation(frames, path, width=160))) == 3


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animation(tmp_path, suffix):
    frames = [street(i) for i in range(6)]
    pictures = list(draw_animation(frames, np.zeros((2, 3)), width=320))
    file = tmp_path / f"a{suffix}"
    save_animation(pictures, file, seconds=3.0)
    with Image.open(file) as animation:
        assert animation.n_frames == 6 and animation.size == (320, 200)
        animation.seek(2)
        animation.load()
        assert animation.info["duration"] == 500
        image = np.asarray(animation.convert("RGB"))
    metre = 320 / 84
    ahead = frames[2].points[frames[2].labels == MOVING, 0].mean()
    assert is_red(image[int(100 - 4 * metre), int(160 + ahead * metre)])


def test_animation_is_thinned_until_it_is_small(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 255, (64, 96, 3), np.uint8)) for _ in range(16)]
    save_animation(noise, tmp_path / "full.gif", 1.0)
    full = (tmp_path / "full.gif").stat().st_size
    monkeypatch.setattr("kdmos_ros.visualization.pictures._MAX_ANIMATION_BYTES", full // 3)
    save_animation(noise, tmp_path / "less.gif", 1.0)
    assert (tmp_path / "less.gif").stat().st_size < full // 3
    monkeypatch.setattr("kdmos_ros.visualization.pictures._MAX_ANIMATION_BYTES", 100)
    with pytest.raises(KdmosError, match="cannot be made smaller"):
        save_animation(noise, tmp_path / "none.gif", 1.0)
    with pytest.raises(KdmosError):
        save_animation([], tmp_path / "none.gif", 1.0)
