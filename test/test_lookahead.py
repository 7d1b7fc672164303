"""Labels that wait for later scans."""

import dataclasses
import json

import numpy as np
import pytest

from kdmos_ros import features
from kdmos_ros.errors import KdmosError
from kdmos_ros.feature_spec import FeatureSpec
from kdmos_ros.features import FeatureExtractor
from kdmos_ros.geometry import make_transform
from kdmos_ros.grid import PolarGrid
from kdmos_ros.lookahead import Lookahead
from kdmos_ros.model import ModelSpec, load_spec
from kdmos_ros.promises import Promised
from kdmos_ros.range_image import build_range_image
from kdmos_ros.resources import share_dir
from kdmos_ros.scan import Scan
from kdmos_ros.segmenter import Segmenter
from kdmos_ros.visibility import VisibilitySpec

MOUNT = make_transform(np.eye(3), [0, 0, 1.7])
PAST = FeatureSpec(visibility=VisibilitySpec(lags_s=(0.2, 0.4)), vacated=True)
BOTH = dataclasses.replace(
    PAST, visibility=VisibilitySpec(lags_s=(0.2, 0.4), future_lags_s=(0.2, 0.4))
)
GRID = PolarGrid(n_rho=48, n_phi=40, n_z=12)
STEP_NS = 200_000_000


def wall(distance, n=3000, seed=0):
    rng = np.random.default_rng(seed)
    phi, z = rng.uniform(-0.5, 0.5, n), distance * rng.uniform(-0.07, 0.05, n)
    return np.column_stack([distance * np.cos(phi), distance * np.sin(phi), z]).astype(np.float32)


def scan(index, points):
    pose = make_transform(np.eye(3), [0.3 * index, 0, 0])
    return Scan(points, None, index * STEP_NS, pose)


def stream(n):
    """Walls, and something that stands before them in some scans."""
    scans = []
    for i in range(n):
        points = wall(20.0, seed=i)
        if i % 3 == 1:
            points = np.concatenate([points, wall(8.0, 500, seed=100 + i)])
        scans.append(scan(i, points))
    return scans


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Knows later scans; its labels mean nothing, but depend on them."""
    pytest.importorskip("torch", reason="making a model needs torch")
    from tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model"), features=BOTH)


@pytest.fixture(scope="module")
def blind_model(tmp_path_factory):
    pytest.importorskip("torch", reason="making a model needs torch")
    from tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("blind"))


def columns(spec):
    """Names of the point columns."""
    lags = [f"past {s}" for s in spec.visibility.lags_s]
    lags += [f"later {s}" for s in spec.visibility.future_lags_s]
    names = []
    for name in spec.point:
        seen = [f"{kind} {lag}" for kind in ("near", "far") for lag in lags]
        names += seen if name == "visibility" else [name]
    return names


def test_the_past_looks_the_same_to_both():
    """Without later scans, a model that knows them sees what one that does not would see."""
    plain, knowing = (FeatureExtractor(GRID, spec, MOUNT) for spec in (PAST, BOTH))
    shared = [name in columns(PAST) for name in columns(BOTH)]
    assert sum(shared) == PAST.n_point < BOTH.n_point == len(shared)
    for each in stream(4):
        a, b = plain.push(each), knowing.push(each)
        np.testing.assert_array_equal(a.point, b.point[:, shared])
        assert not b.point[:, ~np.array(shared)].any()
        np.testing.assert_array_equal(a.cell, b.cell)
        assert a.n_past == b.n_past


def test_a_later_scan_sees_through_what_has_left():
    """The near wall stands only now: the later scan's rays pass where it was."""
    extractor = FeatureExtractor(GRID, BOTH, MOUNT)
    now = scan(0, np.concatenate([wall(20.0), wall(8.0, 500, seed=9)]))
    later = extractor.as_later(scan(1, wall(20.0, 40_000, seed=1)))
    frame = extractor.push(now, later=[later])
    far = frame.point[:, columns(BOTH).index("far later 0.2")]
    is_near = np.hypot(*now.points[frame.index, :2].T) < 10
    assert (far[is_near] > 0.9).mean() > 0.8, "seen through later"
    assert (far[~is_near] > 0.9).mean() < 0.02, "the wall stays"
    assert frame.n_past == 1
    other = frame.point[:, columns(BOTH).index("far later 0.4")]
    assert not other.any(), "there is no scan 0.4 s later"


def test_what_comes_later_is_later():
    extractor = FeatureExtractor(GRID, BOTH, MOUNT)
    with pytest.raises(ValueError, match="later scans must be newer"):
        extractor.push(scan(1, wall(20.0)), later=[extractor.as_later(scan(1, wall(20.0)))])


def test_each_scan_is_answered_from_those_after_it(model):
    scans = stream(7)
    for delay in (0, 1, 3):
        waiting = Lookahead(Segmenter(model, num_threads=1), delay)
        answers = [waiting.push(each) for each in scans]
        assert [a is None for a in answers] == [i < delay for i in range(7)]
        answers = [a for a in answers if a is not None] + waiting.flush()
        assert [a.stamp_ns for a in answers] == [s.stamp_ns for s in scans]
        direct = Segmenter(model, num_threads=1)
        for i, (one, answer) in enumerate(zip(scans, answers, strict=True)):
            ahead = [direct.as_later(s) for s in scans[i + 1 : i + 1 + delay]]
            expected = direct.push(one, ahead)
            np.testing.assert_array_equal(answer.moving_probability, expected.moving_probability)
            np.testing.assert_array_equal(answer.labels, expected.labels)


def test_each_scan_is_made_a_range_image_once(model, monkeypatch):
    made = []

    def spy(points, pool_rows):
        made.append(len(points))
        return build_range_image(points, pool_rows)

    monkeypatch.setattr(features, "build_range_image", spy)
    scans, waiting = stream(5), Lookahead(Segmenter(model, num_threads=1), 2)
    for each in scans:
        waiting.push(each)
    waiting.flush()
    assert made == [len(each.points) for each in scans]


def test_the_delay_changes_the_answer(model):
    """Else the tests here would compare nothing."""
    scans = stream(3)
    at_once = Segmenter(model).push(scans[0])
    other = Segmenter(model)
    later = other.push(scans[0], [other.as_later(s) for s in scans[1:]])
    assert (at_once.moving_probability != later.moving_probability).any()


def test_reset_forgets_those_that_wait(model):
    scans = stream(6)
    waiting = Lookahead(Segmenter(model, num_threads=1), 2)
    for each in scans[:4]:
        waiting.push(each)
    waiting.reset()
    assert waiting.flush() == []
    assert waiting.push(scans[0]) is None, "stamps start anew, too"
    waiting.push(scans[1])
    fresh = Lookahead(Segmenter(model, num_threads=1), 2)
    for each in scans[:2]:
        fresh.push(each)
    a, b = waiting.push(scans[2]), fresh.push(scans[2])
    np.testing.assert_array_equal(a.moving_probability, b.moving_probability)


def test_stamps_rise(model):
    waiting = Lookahead(Segmenter(model), 2)
    waiting.push(scan(3, wall(9.0)))
    with pytest.raises(ValueError, match="is not newer"):
        waiting.push(scan(3, wall(9.0)))


def test_the_mount_is_that_of_the_scan(model):
    """A scan that waits is answered with the mount that it came with."""
    scans, high = stream(3), make_transform(np.eye(3), [0, 0, 2.4])
    waiting = Lookahead(Segmenter(model, num_threads=1), 1)
    waiting.set_mount(MOUNT)
    waiting.push(scans[0])
    waiting.set_mount(high)
    answer = waiting.push(scans[1])
    direct = Segmenter(model, num_threads=1, mount=high)
    later = direct.as_later(scans[1])
    direct.set_mount(MOUNT)
    expected = direct.push(scans[0], [later])
    np.testing.assert_array_equal(answer.moving_probability, expected.moving_probability)


def test_promises_are_kept_in_order(model):
    """Items without a push, and a reset in the middle, which ends the wait of those before it."""
    scans = stream(8)
    promised = Promised(Lookahead(Segmenter(model, num_threads=1), 2))

    def items():
        for i, each in enumerate(scans):
            if i == 4:
                promised.reset()
            if i == 2:
                yield "dropped", None
            yield i, promised.push(each)

    out = list(promised.finished(items()))
    assert [name for name, _ in out] == [0, 1, "dropped", 2, 3, 4, 5, 6, 7]
    direct = Segmenter(model, num_threads=1)
    for name, answer in out:
        if name == "dropped":
            continue
        if name == 4:
            direct.reset()
        last = 4 if name < 4 else 8
        ahead = [direct.as_later(s) for s in scans[name + 1 : min(name + 3, last)]]
        expected = direct.push(scans[name], ahead)
        np.testing.assert_array_equal(answer.labels, expected.labels)
        assert answer.stamp_ns == scans[name].stamp_ns


class Fails(Segmenter):
    """Breaks on one scan."""

    def push(self, scan, later=(), view=None):
        if scan.stamp_ns == 2 * STEP_NS:
            raise RuntimeError("out of memory")
        return super().push(scan, later, view)


def test_an_error_breaks_the_promises_of_all_that_wait(model):
    scans = stream(9)
    promised = Promised(Lookahead(Fails(model, num_threads=1), 2))
    promises = [promised.push(each) for each in scans[:4]]
    with pytest.raises(RuntimeError, match="out of memory"):
        promised.push(scans[4])
    assert [p.done.done() for p in promises] == [True] * 4
    for broken in promises[2:]:
        with pytest.raises(RuntimeError, match="out of memory"):
            broken.done.result()
    after = [promised.push(each) for each in scans[5:]]
    promised.flush()
    fresh = Lookahead(Segmenter(model, num_threads=1), 2)
    expected = [a for a in [fresh.push(each) for each in scans[5:]] if a] + fresh.flush()
    for found, answer in zip(after, expected, strict=True):
        found.done.result()
        np.testing.assert_array_equal(found.moving_probability, answer.moving_probability)


def test_an_error_at_the_end_is_not_taken_for_labels(model):
    promised = Promised(Lookahead(Fails(model, num_threads=1), 2))
    items = ((i, promised.push(each)) for i, each in enumerate(stream(4)))
    seen = []
    with pytest.raises(RuntimeError, match="out of memory"):
        for i, _ in promised.finished(items):
            seen.append(i)
    assert seen == [0, 1]


def test_nothing_is_computed_for_nobody(model):
    segmenter = Segmenter(model, num_threads=1)
    promised = Promised(Lookahead(segmenter, 3))
    promises = [promised.push(each) for each in stream(3)]
    for promise in promises:
        promise.done.cancel()
    segmenter.push = None
    promised.reset()
    assert not any(promise.labels.any() for promise in promises)


@pytest.mark.parametrize("workers", [1, 2])
def test_several_at_a_time_give_the_same(model, workers):
    """With a scan that is dropped, and a reset in the middle."""
    from kdmos_ros.labelling.overlapped import Overlapped
    from kdmos_ros.replay import ReplayedScan

    def replayed(user):
        for i, each in enumerate(stream(12)):
            if i == 6:
                user.reset()
            if i in (0, 3, 4, 5):
                yield ReplayedScan(i, 0, 0, dropped="pose_gap")
                continue
            answer = user.push(each)
            yield ReplayedScan(i, 0, 0, labels=answer.labels,
                               moving_probability=answer.moving_probability)  # fmt: skip

    promised = Promised(Lookahead(Segmenter(model, num_threads=1), 3))
    expected = list(promised.finished(replayed(promised)))
    with Overlapped([Segmenter(model, num_threads=1) for _ in range(workers)], 3) as overlapped:
        found = list(overlapped.finished(replayed(overlapped)))
    assert [scan.index for scan in found] == list(range(12))
    for one, other in zip(found, expected, strict=True):
        assert one.dropped == other.dropped
        if not one.dropped:
            np.testing.assert_array_equal(one.moving_probability, other.moving_probability)


def test_bags_are_labelled_as_they_are_evaluated_also_after_a_stop(model, tmp_path, capsys):
    """`kdmos label --lookahead`: stopped anywhere and taken up, it ends with the same labels."""
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    import signal

    from drives import write_drive

    from kdmos_ros.cli import main
    from kdmos_ros.io.bags import BagReader
    from kdmos_ros.labelling.interrupt import Interrupt
    from kdmos_ros.labelling.job import LABEL_FILES, Target, label_bag
    from kdmos_ros.labelling.overlapped import Overlapped
    from kdmos_ros.replay import replay

    bag = write_drive(tmp_path / "bag", 12, 3000)
    whole, part = tmp_path / "whole", tmp_path / "part"
    arguments = ["label", str(bag), "--model", str(model), "--semantickitti"]
    assert main([*arguments, str(whole), "--lookahead", "3"]) == 0
    files = {f.name: f.read_bytes() for f in whole.iterdir()}
    with BagReader(bag) as reader:
        promised = Promised(Lookahead(Segmenter(model), 3))
        for scan in promised.finished(replay(reader, promised)):
            raw = np.frombuffer(files[f"{scan.index:06d}.label"], np.uint32)
            np.testing.assert_array_equal(raw >= 251, scan.labels == 3)

    def run(last, resume):
        class Stops(Overlapped):
            def finished(self, replayed):
                for scan in super().finished(replayed):
                    interrupt.signal = signal.SIGTERM if scan.index == last else 0
                    yield scan

        with (
            Interrupt() as interrupt, BagReader(bag) as reader,
            Stops([Segmenter(model) for _ in range(2)], 3) as overlapped,
        ):  # fmt: skip
            target = Target(part, LABEL_FILES)
            return label_bag(reader, overlapped, "tiny", target, interrupt, resume)

    assert run(3, False).done == 4
    assert run(6, True).done == 7
    assert run(None, True).signal == 0
    assert {f.name: f.read_bytes() for f in part.iterdir()} == files
    capsys.readouterr()
    plain = tmp_path / "plain"
    assert main([*arguments, str(plain)]) == 0
    assert {f.name: f.read_bytes() for f in plain.iterdir()} != files, "it makes a difference"


def test_label_files_of_models_that_cannot_look_ahead(blind_model, tmp_path, capsys):
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    from drives import write_drive

    from kdmos_ros.cli import main

    bag = write_drive(tmp_path / "bag", 3)
    arguments = ["label", str(bag), "--model", str(blind_model)]
    assert main([*arguments, "--lookahead", "1"]) != 0
    assert "trained without later scans" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--lookahead", "8"])
    assert not (tmp_path / "bag_labeled").exists()


def test_a_model_without_later_scans_refuses(blind_model):
    segmenter = Segmenter(blind_model)
    with pytest.raises(KdmosError, match="model tiny was trained without later scans"):
        Lookahead(segmenter, 1)
    with pytest.raises(ValueError, match=r"lookahead must be 0\.\.7 scans, got 8"):
        Lookahead(segmenter, 8)
    scans = stream(2)
    at_once = Lookahead(segmenter, 0)
    expected = [Segmenter(blind_model).push(s) for s in scans[:1]]
    np.testing.assert_array_equal(at_once.push(scans[0]).labels, expected[0].labels)


def test_specifications_with_and_without(model):
    assert load_spec(model).features == BOTH
    plain = (share_dir() / "models" / "kdmos_s" / "model.json").read_text()
    assert "future_lags_s" not in plain
    spec = ModelSpec(name="x", features=PAST)
    assert "future_lags_s" not in spec.to_json()
    assert '"future_lags_s"' in dataclasses.replace(spec, features=BOTH).to_json()
    with pytest.raises(ValueError, match="future_lags_s must be positive"):
        VisibilitySpec(future_lags_s=(0.2, -0.2))


def test_a_stream_of_later_scans_goes_on_as_it_would_have(tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    from labelled import write_drives

    from kdmos_ros.train.augment import AugmentRecipe
    from kdmos_ros.train.samples import StudentReader
    from kdmos_ros.train.stream import DriveStream

    drives = write_drives(tmp_path, n=3, scans=5)

    def batches(start, n, lookahead=True):
        reader = StudentReader(GRID, BOTH)
        stream = iter(
            DriveStream(
                drives, reader, 2, 3, augment=AugmentRecipe(), start=start, mix=4,
                lookahead=lookahead,
            )
        )  # fmt: skip
        return [next(stream) for _ in range(n)]

    whole, rest = batches(0, 6), batches(3, 3)
    for a, b in zip(whole[3:], rest, strict=True):
        assert (a.point == b.point).all() and (a.motion == b.motion).all()
    later = [i for i, name in enumerate(columns(BOTH)) if "later" in name]
    assert any(batch.point[:, later].any() for batch in whole)
    assert not any(batch.point[:, later].any() for batch in batches(0, 6, lookahead=False))


def test_the_curve_against_delay(model, tmp_path, capsys):
    from kdmos_ros.cli import main

    report, plots = tmp_path / "delays.json", tmp_path / "plots"
    arguments = ["eval", "sim:3-3", "--sensor", "vlp16", "--limit", "6", "--model", str(model)]
    assert (
        main([*arguments, "--lookahead", "0-2", "--json", str(report), "--plot", str(plots)]) == 0
    )
    results = json.loads(report.read_text())
    assert [r["lookahead"] for r in results] == [0, 1, 2]
    assert {r["scans"] for r in results} == {6}
    counts = [tuple(r[k] for k in ("tp", "fp", "fn", "tn")) for r in results]
    assert len(set(map(sum, counts))) == 1, "the same points are scored"
    assert len(set(counts)) > 1
    assert (plots / "by_delay.png").stat().st_size > 5000
    assert [r["delay_s"] for r in results] == [0.0, 0.1, 0.2]
    assert "1 scans (0.1 s) late" in capsys.readouterr().out
    one = tmp_path / "one.json"
    assert main([*arguments, "--lookahead", "2", "--json", str(one)]) == 0
    same = json.loads(one.read_text())
    assert [same[k] for k in ("tp", "fp", "fn", "tn")] == list(counts[2])


@pytest.mark.parametrize("delay", ["8", "3-1", "x", "1-9", "-1"])
def test_delays_that_cannot_be(delay, capsys):
    from kdmos_ros.cli import main

    with pytest.raises(SystemExit):
        main(["eval", "sim:1-1", f"--lookahead={delay}"])
    assert "argument --lookahead: expected" in capsys.readouterr().err
