"""`kdmos eval` on folders and simulated drives, and where it says the errors are."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from kdmos_ros import cli
from kdmos_ros.bag_evaluation import Report
from kdmos_ros.breakdown import RANGE_EDGES_M, SPEED_EDGES_MPS, Breakdown
from kdmos_ros.geometry import from_pose
from kdmos_ros.io.semantickitti_writer import new_sequence
from kdmos_ros.labels import MOVABLE, MOVING, STATIC, UNLABELLED, from_benchmark, to_benchmark
from kdmos_ros.model import ModelSpec
from kdmos_ros.scan import Scan
from kdmos_ros.segmenter import Segmentation
from kdmos_ros.sim import Kind

N_SCANS, N_POINTS = 3, 60


class ForwardSegmenter:
    """Calls everything in front of the sensor moving; stands in for a model."""

    model_name, provider = "forward", "CPUExecutionProvider"

    def __init__(self):
        self.resets, self.stamp = 0, -1
        self.spec = ModelSpec("forward", sha256={"bev.onnx": "abc"})

    def set_mount(self, mount):
        pass

    def warm_up(self):
        pass

    def reset(self):
        self.resets, self.stamp = self.resets + 1, -1

    def push(self, scan):
        assert scan.stamp_ns > self.stamp, "stamps rise within a drive"
        self.stamp = scan.stamp_ns
        moving = scan.points[:, 0] > 0
        labels = np.where(moving, MOVING, MOVABLE).astype(np.uint8)
        return Segmentation(labels, moving.astype(np.float32), scan.stamp_ns, {"bev": 1.0})


def points(sequence, index):
    rng = np.random.default_rng([int(sequence), index])
    return rng.uniform(-40, 40, (N_POINTS, 3)).astype(np.float32)


def truth(sequence, index):
    raw = np.where(points(sequence, index)[:, 1] > 0, 252, 70).astype(np.uint32)
    raw[::7] = 0
    return raw


@pytest.fixture
def root(tmp_path):
    for sequence in ("08", "30", "31"):
        with new_sequence(tmp_path / "kitti" / "sequences" / sequence) as writer:
            for i in range(N_SCANS):
                scan = Scan(
                    points(sequence, i), None, i * 10**8, from_pose([i, 0, 0], [0, 0, 0, 1])
                )
                writer.add(scan, truth(sequence, i))
    return tmp_path / "kitti"


@pytest.fixture
def segmenter(monkeypatch):
    forward = ForwardSegmenter()
    monkeypatch.setattr("kdmos_ros.commands.eval.make_segmenter", lambda args: forward)
    return forward


def evaluate(tmp_path, *arguments):
    out = tmp_path / "out.json"
    assert cli.main(["eval", *map(str, arguments), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def failure(capsys, *arguments):
    try:
        status = cli.main(["eval", *map(str, arguments)])
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and len(captured.err.splitlines()) == 1
    return captured.err


def test_one_confusion_over_the_split(root, segmenter, tmp_path):
    content = evaluate(tmp_path, root, "--sequence", "30,31")
    tp = fp = fn = 0
    for sequence in ("30", "31"):
        for i in range(N_SCANS):
            raw, called = truth(sequence, i), points(sequence, i)[:, 0] > 0
            tp += int(((raw == 252) & called).sum())
            fp += int(((raw == 70) & called).sum())
            fn += int(((raw == 252) & ~called).sum())
    assert (content["tp"], content["fp"], content["fn"]) == (tp, fp, fn)
    assert content["iou_moving"] == pytest.approx(tp / (tp + fp + fn))
    assert set(content["sequences"]) == {"30", "31"}
    assert content["scans"] == 2 * N_SCANS and content["model"] == "forward"
    assert segmenter.resets == 2, "a history must not reach from one drive into the next"


def test_parts_add_up_to_the_whole(root, segmenter, tmp_path):
    content = evaluate(tmp_path, root)
    for name in ("tp", "fp", "fn", "tn"):
        assert sum(band[name] for band in content["by_range"]) == content[name]
    assert [band["to_m"] for band in content["by_range"]] == [20, 35, 50, None]
    car, plants = content["by_class"]["car"], content["by_class"]["vegetation"]
    assert car["points_moving"] == content["tp"] + content["fn"]
    assert car["recall"] == content["recall"] and car["false_positive_share"] is None
    assert plants["false_positive_share"] == content["false_positive_share"]
    assert content["by_speed"] == []


def test_predictions_in_the_submission_layout(root, segmenter, tmp_path):
    evaluate(tmp_path, root, "--sequence", "30,31", "--predictions", tmp_path / "out")
    for sequence in ("30", "31"):
        folder = tmp_path / "out" / "sequences" / sequence / "predictions"
        assert [f.name for f in sorted(folder.iterdir())] == [
            f"{i:06d}.label" for i in range(N_SCANS)
        ]
        expected = np.where(points(sequence, 1)[:, 0] > 0, 251, 9)
        np.testing.assert_array_equal(np.fromfile(folder / "000001.label", "<u4"), expected)


TEST = [str(i) for i in range(11, 22)]


def test_a_submission_ready_to_hand_in(root, segmenter, tmp_path, capsys):
    for sequence in TEST:
        folder = root / "sequences" / sequence
        shutil.copytree(root / "sequences" / "08", folder)
        shutil.rmtree(folder / "labels")
    out = tmp_path / "out"
    evaluate(tmp_path, root, "--split", "test", "--predictions", out, "--zip")
    assert "submission.zip: checked, ready to hand in" in capsys.readouterr().out
    with zipfile.ZipFile(out / "submission.zip") as archive:
        names = archive.namelist()
        for sequence in TEST:
            inside = f"sequences/{sequence}/predictions/"
            assert {f"sequences/{sequence}/", inside} <= set(names)
            labels = np.frombuffer(archive.read(f"{inside}000001.label"), "<u4")
            np.testing.assert_array_equal(labels, np.where(points("08", 1)[:, 0] > 0, 251, 9))
    assert len(names) == 1 + len(TEST) * (2 + N_SCANS)


def test_an_archive_says_what_it_lacks_of_a_submission(root, segmenter, tmp_path, capsys):
    evaluate(tmp_path, root, "--sequence", "30,31", "--predictions", tmp_path / "out", "--zip")
    assert "wants the sequences 11 to 21, and these are 30, 31" in capsys.readouterr().out
    arguments = ["--limit", "2", "--predictions", tmp_path / "short", "--zip"]
    assert "leave out --limit" in failure(capsys, root, *arguments)


def test_hidden_labels_give_predictions_only(root, segmenter, tmp_path, capsys):
    labels = root / "sequences" / "08" / "labels"
    for path in labels.iterdir():
        path.unlink()
    labels.rmdir()
    assert "08 has no labels; --predictions" in failure(capsys, root)
    content = evaluate(tmp_path, root, "--predictions", tmp_path / "out")
    assert content["iou_moving"] is None and content["points_labelled"] == 0
    assert len(list((tmp_path / "out/sequences/08/predictions").iterdir())) == N_SCANS


def test_what_the_data_does_not_tell_is_said(root, segmenter, tmp_path, capsys):
    evaluate(tmp_path, root, "--by-range", "--by-speed", "--by-sensor")
    printed = capsys.readouterr().out
    assert "by speed: not known of this data\nby sensor: not known" in printed
    assert "0-20 m" in printed


def test_one_sequence_folder(root, segmenter, tmp_path):
    content = evaluate(tmp_path, root / "sequences" / "30", "--limit", "2")
    assert content["scans"] == 2 and list(content["sequences"]) == ["30"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "road-train"], "no such sequence"),
        (["--split", "dev"], "no split 'dev'"),
        (["--sequence", "99"], "sequences/99"),
        (["--sequence", "../30"], "names with commas"),
        (["--rate", "0"], "rate"),
        (["--labels", "x"], "--labels does not apply to a folder"),
        (["--deskew"], "--deskew does not apply to a folder"),
        (["--sensor", "vlp16"], "--sensor does not apply to a folder"),
        (["--sweep-distortion"], "--sweep-distortion does not apply to a folder"),
        (["--pose-noise-m", "0.1"], "errors of the poses apply to bags only"),
        (["--planar-odometry"], "errors of the poses apply to bags only"),
        (["--pose-source", "kiss_icp"], "--pose-source and errors"),
        (["--dataset", "helimos"], "val.txt"),
        (["--zip"], "name their folder with --predictions DIR"),
    ],
)
def test_what_does_not_fit_is_said(root, segmenter, capsys, arguments, message):
    assert message in failure(capsys, root, *arguments)


def test_options_of_data_sets_do_not_apply_to_bags(tmp_path, capsys):
    assert "--split does not apply to a bag" in failure(capsys, tmp_path, "--split", "val")
    assert "one sequence" in failure(capsys, tmp_path, "--sequence", "1,2")


@pytest.mark.parametrize("name", ["velodyne/000001.bin", "labels/000001.label"])
def test_a_truncated_file_is_named_and_leaves_nothing(root, segmenter, capsys, tmp_path, name):
    path = root / "sequences" / "08" / name
    path.write_bytes(path.read_bytes()[:-8])
    out = tmp_path / "out"
    text = failure(capsys, root, "--predictions", out, "--json", tmp_path / "x.json")
    assert name in text
    assert not [p for p in out.rglob("*") if p.is_file()] and not (tmp_path / "x.json").exists()


def test_simulated_drives_know_kinds_and_speeds(segmenter, tmp_path, capsys):
    content = evaluate(
        tmp_path, "sim:5", "--sensor", "vlp16", "--duration", "1", "--rate", "3",
        "--by-range", "--by-class", "--by-speed",
    )  # fmt: skip
    assert content["scans"] == 3 and content["by_class"]["road"]["points_still"] > 0
    moving = sum(band["tp"] + band["fn"] for band in content["by_speed"])
    assert moving == content["tp"] + content["fn"] > 0
    printed = capsys.readouterr().out
    assert "0-20 m" in printed and "road" in printed and "speed" in printed
    assert list(content["by_sensor"]) == ["vlp16"]


def test_a_table_by_sensor(segmenter, tmp_path, capsys):
    options = ["--duration", "0.2", "--rate", "5", "--by-sensor"]
    content = evaluate(tmp_path, "sim:5-6", "--sensor", "vlp16,mid360", *options)
    assert list(content["by_sensor"]) == ["vlp16", "mid360"]
    assert segmenter.resets == 4 and len(content["sequences"]) == 4
    for name in ("tp", "fp", "fn", "tn"):
        assert sum(part[name] for part in content["by_sensor"].values()) == content[name]
    printed = capsys.readouterr().out
    rows = [line.split()[0] for line in printed.splitlines() if line]
    assert {"sensor", "vlp16", "mid360"} <= set(rows) and "0-20 m" not in printed
    names = [*content["sequences"]]
    assert names[0] == "sim:5:vlp16" and names[-1] == "sim:6:mid360"
    options = ["--duration", "0.2", "--rate", "9", "--by-sensor", "--limit", "1"]
    evaluate(tmp_path, "sim:5", "--sweep-distortion", *options)
    rows = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line}
    assert {"hdl64e", "vlp16", "os1_64", "os1_128", "pandar40", "mid360"} <= rows


def test_zip_is_for_folders(tmp_path, capsys):
    arguments = ["sim:5", "--predictions", tmp_path / "out", "--zip"]
    assert "--zip applies to folders" in failure(capsys, *arguments)


def test_outliers_do_not_count_in_folders(root, segmenter, tmp_path):
    """As in the benchmark's own evaluate_mos.py: by its map, 1 is unlabelled, like 0."""
    before = evaluate(tmp_path, root)
    for path in (root / "sequences" / "08" / "labels").iterdir():
        raw = np.fromfile(path, "<u4")
        raw[raw == 0] = 1
        raw.tofile(path)
    after = evaluate(tmp_path, root)
    for name in ("tp", "fp", "fn", "tn", "points_ignored"):
        assert after[name] == before[name]
    assert after["points_ignored"] > 0


def test_breakdown_by_hand():
    parts = Breakdown()
    xyz = np.array([[5, 0, 9], [0, 20, 0], [30, 30, 0], [60, 0, 0], [np.nan] * 3, [1, 1, 1]])
    classes = np.uint8([MOVING, MOVING, STATIC, STATIC, UNLABELLED, MOVABLE])
    called = np.uint8([MOVING, STATIC, MOVING, STATIC, UNLABELLED, STATIC])
    kind = np.uint8([Kind.CAR, Kind.PEDESTRIAN, Kind.WALL, 0, 0, Kind.CAR])
    speed = np.float32([5, 1.5, 0, 0, 0, 0])
    parts.add("a", xyz.astype(np.float32), classes, called, kind, speed)
    assert [(c.tp, c.fp, c.fn, c.tn) for c in parts.by_range] == [
        (1, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 1),
    ]  # fmt: skip
    assert parts.by_kind[Kind.CAR].recall == 1 and parts.by_kind[Kind.PEDESTRIAN].recall == 0
    assert parts.by_kind[Kind.WALL].false_positive_share == 1 and 0 not in parts.by_kind
    assert [c.tp + c.fn for c in parts.by_speed] == [0, 1, 0, 1, 0, 0]
    assert len(RANGE_EDGES_M) == 4 and len(SPEED_EDGES_MPS) == 6
    assert (parts.worst.name, parts.worst.errors) == ("a", 2)
    json.dumps(parts.to_dict())


def test_the_worst_scan_is_one_with_a_history():
    parts = Breakdown()
    xyz, kind = np.ones((3, 3), np.float32), np.zeros(3, np.uint8)
    moving, static = np.full(3, MOVING, np.uint8), np.full(3, STATIC, np.uint8)
    parts.add("start", xyz, moving, static, kind)
    parts.add("later", xyz, moving, np.uint8([MOVING, MOVING, STATIC]), kind)
    parts.add("good", xyz, moving, moving, kind)
    assert parts.worst.name == "later"


def test_the_learning_map_of_the_benchmark():
    """semantic-kitti-mos.yaml: 0 and 1 are unlabelled, 9..99 static, 251..259 moving."""
    listed = [9, 10, 11, 13, 15, 16, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 52, 60, 70, 71, 72,
              80, 81, 99]  # fmt: skip
    classes = from_benchmark(np.arange(1 << 16, dtype=np.uint32))
    moving, counts = classes == MOVING, classes != UNLABELLED
    assert np.flatnonzero(moving).tolist() == [*range(251, 260)]
    assert np.flatnonzero(counts & ~moving).tolist() == [*listed, 250]
    assert from_benchmark(np.uint32([252 | 7 << 16, 1 | 9 << 16])).tolist() == [MOVING, UNLABELLED]


def test_benchmark_ids():
    assert to_benchmark(np.uint8([0, 1, 2, 3])).tolist() == [9, 9, 9, 251]


def test_pictures(tmp_path, root, segmenter):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    from matplotlib.image import imread

    evaluate(tmp_path, root, "--plot", tmp_path / "plots")
    names = {p.name for p in (tmp_path / "plots").iterdir()}
    assert names == {"confusion.png", "by_range.png", "by_class.png"}
    for name in names:
        assert imread(tmp_path / "plots" / name)[..., :3].std() > 0.01, name


def test_pictures_by_sensor_and_delay(tmp_path, segmenter):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    from matplotlib.image import imread

    from kdmos_ros.eval_plots import draw_delays

    options = ["--sensor", "vlp16,mid360", "--duration", "0.4", "--rate", "5", "--plot", tmp_path]
    content = evaluate(tmp_path, "sim:5", *options)
    names = {p.stem for p in tmp_path.glob("*.png")}
    assert names == {"confusion", "by_range", "by_class", "by_speed", "by_sensor"}
    content["iou_moving"] = 0.5
    results = [content, {**content, "lookahead": 3, "iou_moving": 0.6}, {**content, "model": "b"}]
    path = draw_delays([*results, {**content, "model": "c", "iou_moving": None}], tmp_path)
    assert path.name == "by_delay.png" and imread(path)[..., :3].std() > 0.01


def test_pictures_of_nothing(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    from kdmos_ros.eval_plots import draw

    assert [p.name for p in draw(Report("m", "p"), tmp_path)] == ["confusion.png", "by_range.png"]


def test_a_bag_and_a_folder_of_the_same_drive_score_alike(tiny_model, tmp_path):
    """Poses by odometry and mount on one side, poses of the LiDAR on the other."""
    pytest.importorskip("rosbags", reason="bags are written with rosbags")
    from kdmos_ros.geometry import matrix_to_quaternion
    from kdmos_ros.sim import make_drive

    options = ["--seed", "5", "--sensor", "vlp16", "--duration", "2", "--rate", "5"]
    for name, kind in (("bag", []), ("00", ["--semantickitti"])):
        assert cli.main(["simulate", str(tmp_path / name), *options, *kind]) == 0
    mount = make_drive(5, "vlp16", duration_s=2.0, rate_hz=5.0).base_T_sensor
    numbers = ",".join(map(str, [*mount[:3, 3], *matrix_to_quaternion(mount[:3, :3])]))
    model = ["--model", tiny_model]
    bag = evaluate(tmp_path, tmp_path / "bag", *model)
    folder = evaluate(tmp_path, tmp_path / "00", *model, f"--base-to-lidar={numbers}")
    assert bag["scans"] == folder["scans"] == 10 and bag["tp"] + bag["fn"] > 0
    for name in ("tp", "fp", "fn", "tn"):
        assert folder[name] == pytest.approx(bag[name], rel=1e-3, abs=20), name
    assert folder["by_class"].keys() == bag["by_class"].keys()


def test_drives_that_training_has_kept_are_scored(tiny_model, tmp_path, capsys):
    pytest.importorskip("torch", reason="training keeps them")
    from kdmos_ros.train.data_recipe import DataRecipe
    from kdmos_ros.train.simulate import simulate_drives

    data = DataRecipe(scans=3, dense_start=0, sensors={"vlp16": 1.0})
    first, second = simulate_drives(data, tmp_path / "validation", 2, 7)
    model = ["--model", tiny_model]
    both = evaluate(tmp_path, tmp_path / "validation", *model)
    alone = [evaluate(tmp_path, path, *model) for path in (first, second)]
    assert both["scans"] == 6
    for name in ("tp", "fp", "fn", "tn"):
        assert both[name] == sum(report[name] for report in alone), name
    (tmp_path / "empty").mkdir()
    assert cli.main(["eval", str(tmp_path / "empty"), "--model", str(tiny_model)]) != 0
    assert "not a rosbag2" in capsys.readouterr().err
