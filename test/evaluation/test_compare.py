"""`kdmos compare`: the statistics by hand, and the command."""

import numpy as np
import pytest

from kdmos_ros import cli
from kdmos_ros.evaluation.drive_comparison import outside_share, show, spans, table
from kdmos_ros.evaluation.drive_counts import Curve
from kdmos_ros.evaluation.drive_statistics import drive_statistics
from kdmos_ros.geometry.transforms import from_pose, make_transform
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.labels import MOVING, STATIC
from kdmos_ros.scan import Scan

pytestmark = pytest.mark.slow


class FlatGround:
    """A standing sensor over flat ground with a wall at 15 m that vanishes after some scans."""

    name = where = "flat"
    labelled = True
    base_T_sensor = make_transform(np.eye(3), [0, 0, 1.8])

    def __init__(self, wall_until=0, label=STATIC, n_scans=12):
        self.wall_until, self.label, self.n_scans = wall_until, label, n_scans

    def __len__(self):
        return self.n_scans

    def __iter__(self):
        azimuth = np.deg2rad(np.arange(0, 360, 0.5))
        rho = np.geomspace(3, 45, 60)
        ground = np.stack([
            (np.cos(azimuth)[:, None] * rho).ravel(),
            (np.sin(azimuth)[:, None] * rho).ravel(),
            np.full(len(azimuth) * len(rho), -1.8),
        ], axis=1)  # fmt: skip
        z = np.arange(-1.3, 1.5, 0.1)
        y = np.arange(-4, 4, 0.1)
        wall = np.stack(np.broadcast_arrays(15.0, y[:, None], z), axis=-1).reshape(-1, 3)
        for i in range(self.n_scans):
            there = i >= self.wall_until
            points = np.concatenate([ground, wall]) if there else ground
            labels = np.full(len(points), STATIC, np.uint8)
            labels[len(ground) :] = self.label
            yield LabelledScan(
                Scan(points.astype(np.float32), None, i * 10**8, np.eye(4)),
                labels,
                np.zeros(len(points), np.uint8),
            )


def curve(curves, title):
    return next(c for c in curves if c.title == title)


def test_flat_ground_is_flat_and_stands_still():
    curves = drive_statistics(FlatGround())
    np.testing.assert_allclose(curve(curves, "ground spread, m").values, 0, atol=0.011)
    for c in curves:
        assert len(c.bands) == len(c.values)
        if c.title.startswith(("seen through", "cells wholly")):
            assert np.nanmax(c.values) == 0, c.title
    near = curve(curves, "points a scan")
    rho = np.geomspace(3, 45, 60)
    assert near.values[1] == pytest.approx(720 * ((rho >= 5) & (rho < 10)).sum(), abs=720)


def test_a_wall_that_appears_is_seen_through():
    curves = drive_statistics(FlatGround(wall_until=9))
    assert curve(curves, "seen through 0.2 s ago, above 0.4 m").values[1] > 0.3
    assert curve(curves, "cells wholly seen through").values[1] > 0.5


class Pitching(FlatGround):
    """The odometry pitches by 0.1 degrees a scan; the sensor does not."""

    def __iter__(self):
        for i, sample in enumerate(super().__iter__()):
            angle = np.deg2rad(0.1 * i)
            pose = from_pose([0, 0, 0], [0, np.sin(angle / 2), 0, np.cos(angle / 2)])
            scan = Scan(sample.scan.points, None, sample.scan.stamp_ns, pose)
            yield LabelledScan(scan, sample.labels, sample.kind)


def test_pitch_of_the_odometry_shows_by_lag():
    title = "pitch against the ground of then, degrees"
    still, pitching = (curve(drive_statistics(s), title).values for s in (FlatGround(), Pitching()))
    np.testing.assert_allclose(still[:3], 0, atol=0.02)
    np.testing.assert_allclose(pitching[:3], [0.2, 0.4, 0.8], rtol=0.15)


def test_residuals_do_not_show_what_the_ground_takes_out():
    title = "seen through 0.8 s ago, by height"
    still, pitching = (curve(drive_statistics(s), title).values for s in (FlatGround(), Pitching()))
    np.testing.assert_allclose(pitching, still, atol=0.002)


def test_moving_points_are_left_out():
    curves = drive_statistics(FlatGround(wall_until=9, label=MOVING))
    assert np.isnan(curve(curves, "seen through 0.2 s ago, above 0.4 m").values[1])


def test_shadow_behind_the_wall():
    def shadow(source):
        return curve(drive_statistics(source, limit=1), "rings in shadow").values

    free, hidden = shadow(FlatGround(wall_until=99)), FlatGround()
    cut = next(iter(hidden))
    points = cut.scan.points
    behind = (points[:, 0] > 15) & (np.abs(points[:, 1] / points[:, 0]) < 4 / 15)
    behind &= np.hypot(points[:, 0], points[:, 1]) < 30
    one = LabelledScan(
        Scan(points[~behind], None, 0, np.eye(4)), cut.labels[~behind], cut.kind[~behind]
    )
    hidden.__class__ = type("Cut", (FlatGround,), {"__iter__": lambda self: iter([one])})
    assert (shadow(hidden)[1:3] > free[1:3] + 0.02).all()


def curves_of(*values):
    return [Curve("share", ("near", "far"), np.array(values, float))]


def test_table_marks_what_is_outside():
    simulated = [curves_of(1, 5), curves_of(2, np.nan), curves_of(4, 7)]
    real = {"clip": curves_of(3, 8)}
    rows = table(simulated, real).splitlines()
    assert rows[2] == "| share | near | 2 | 1 to 4 | 3 |"
    assert rows[3] == "|  | far | 6 | 5 to 7 | **8** |"
    assert outside_share(simulated, real["clip"]) == (1, 2, ["share"])


def test_bands_without_data():
    simulated = [curves_of(np.nan, 1), curves_of(np.nan, 1)]
    assert np.isnan(spans([c[0].values for c in simulated])[0][0])
    assert "| n/a | n/a to n/a | 3 |" in table(simulated, {"x": curves_of(3, np.nan)})
    assert outside_share(simulated, curves_of(3, np.nan)) == (0, 0, [])


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1234"), (0.01234, "0.0123"), (0, "0")])
def test_numbers(value, text):
    assert show(value) == text


def test_command(tmp_path, capsys):
    pytest.importorskip("rosbags", reason="bags are read with rosbags")
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    from matplotlib.image import imread

    bag = tmp_path / "clip"
    options = ["--sensor", "vlp16", "--duration", "1", "--rate", "5"]
    assert cli.main(["simulate", str(bag), "--seed", "3", *options]) == 0
    arguments = ["compare", tmp_path / "out", "--real", bag, "--simulated", "sim:1-2", *options]
    capsys.readouterr()
    assert cli.main([str(a) for a in [*arguments, "--every", "2"]]) == 0
    assert "clip: " in capsys.readouterr().out
    text = (tmp_path / "out" / "sim_vs_real.md").read_text()
    assert text.startswith("| | | simulated | lowest to highest | clip |")
    assert "points a scan" in text and "porous cells" in text
    assert imread(tmp_path / "out" / "sim_vs_real.png")[..., :3].std() > 0.01


def test_missing_bag(tmp_path, capsys):
    assert cli.main(["compare", str(tmp_path), "--real", str(tmp_path / "none")]) == 2
    assert "no such bag" in capsys.readouterr().err
