"""`kdmos eval` on folders and simulated drives, and where it says the errors are."""

import argparse
from types import SimpleNamespace

import numpy as np
import pytest
from eval_harness import N_SCANS, evaluate, failure, points, truth

from kdmos_ros import cli


def test_one_confusion_over_the_split(mos_root, forward_segmenter, tmp_path):
    content = evaluate(tmp_path, mos_root, "--sequence", "30,31")
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
    assert forward_segmenter.resets == 2, "a history must not reach from one drive into the next"


def test_parts_add_up_to_the_whole(mos_root, forward_segmenter, tmp_path):
    content = evaluate(tmp_path, mos_root)
    for name in ("tp", "fp", "fn", "tn"):
        assert sum(band[name] for band in content["by_range"]) == content[name]
    assert [band["to_m"] for band in content["by_range"]] == [20, 35, 50, None]
    car, plants = content["by_class"]["car"], content["by_class"]["vegetation"]
    assert car["points_moving"] == content["tp"] + content["fn"]
    assert car["recall"] == content["recall"] and car["false_positive_share"] is None
    assert plants["false_positive_share"] == content["false_positive_share"]
    assert content["by_speed"] == []


def test_what_the_data_does_not_tell_is_said(mos_root, forward_segmenter, tmp_path, capsys):
    evaluate(tmp_path, mos_root, "--by-range", "--by-speed", "--by-sensor")
    printed = capsys.readouterr().out
    assert "by speed: not known of this data\nby sensor: not known" in printed
    assert "0-20 m" in printed


def test_one_sequence_folder(mos_root, forward_segmenter, tmp_path):
    content = evaluate(tmp_path, mos_root / "sequences" / "30", "--limit", "2")
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
def test_what_does_not_fit_is_said(mos_root, forward_segmenter, capsys, arguments, message):
    assert message in failure(capsys, mos_root, *arguments)


def test_options_of_data_sets_do_not_apply_to_bags(tmp_path, capsys):
    assert "--split does not apply to a bag" in failure(capsys, tmp_path, "--split", "val")
    assert "one sequence" in failure(capsys, tmp_path, "--sequence", "1,2")


@pytest.mark.parametrize("name", ["velodyne/000001.bin", "labels/000001.label"])
def test_a_truncated_file_is_named_and_leaves_nothing(
    mos_root, forward_segmenter, capsys, tmp_path, name
):
    path = mos_root / "sequences" / "08" / name
    path.write_bytes(path.read_bytes()[:-8])
    out = tmp_path / "out"
    text = failure(capsys, mos_root, "--predictions", out, "--json", tmp_path / "x.json")
    assert name in text
    assert not [p for p in out.rglob("*") if p.is_file()] and not (tmp_path / "x.json").exists()


@pytest.mark.slow
def test_simulated_drives_know_kinds_and_speeds(forward_segmenter, tmp_path, capsys):
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


def test_a_table_by_sensor(forward_segmenter, tmp_path, capsys):
    options = ["--duration", "0.2", "--rate", "5", "--by-sensor"]
    content = evaluate(tmp_path, "sim:5-6", "--sensor", "vlp16,mid360", *options)
    assert list(content["by_sensor"]) == ["vlp16", "mid360"]
    assert forward_segmenter.resets == 4 and len(content["sequences"]) == 4
    for name in ("tp", "fp", "fn", "tn"):
        assert sum(part[name] for part in content["by_sensor"].values()) == content[name]
    printed = capsys.readouterr().out
    rows = [line.split()[0] for line in printed.splitlines() if line]
    assert {"sensor", "vlp16", "mid360"} <= set(rows) and "0-20 m" not in printed
    names = [*content["sequences"]]
    assert names[0] == "sim:5:vlp16" and names[-1] == "sim:6:mid360"
    scenes = ["--scene", "queue,field", "--duration", "0.2", "--rate", "5"]
    names = evaluate(tmp_path, "sim:5", "--sensor", "vlp16", *scenes)["sequences"]
    assert list(names) == ["sim:5:queue", "sim:5:field"]
    options = ["--duration", "0.2", "--rate", "9", "--by-sensor", "--limit", "1"]
    evaluate(tmp_path, "sim:5", "--sweep-distortion", *options)
    rows = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line}
    assert {"hdl64e", "vlp16", "os1_64", "os1_128", "pandar40", "mid360"} <= rows


def test_outliers_do_not_count_in_folders(mos_root, forward_segmenter, tmp_path):
    """As in the benchmark's own evaluate_mos.py: by its map, 1 is unlabelled, like 0."""
    before = evaluate(tmp_path, mos_root)
    for path in (mos_root / "sequences" / "08" / "labels").iterdir():
        raw = np.fromfile(path, "<u4")
        raw[raw == 0] = 1
        raw.tofile(path)
    after = evaluate(tmp_path, mos_root)
    for name in ("tp", "fp", "fn", "tn", "points_ignored"):
        assert after[name] == before[name]
    assert after["points_ignored"] > 0


def test_a_bag_and_a_folder_of_the_same_drive_score_alike(tiny_model, tmp_path):
    """Poses by odometry and mount on one side, poses of the LiDAR on the other."""
    pytest.importorskip("rosbags", reason="bags are written with rosbags")
    from kdmos_ros.geometry.transforms import matrix_to_quaternion
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
    assert bag["by_object"]["objects"] == folder["by_object"]["objects"] > 0
    assert bag["first_scans"]["scans"] == folder["first_scans"]["scans"] == 1


@pytest.mark.slow
def test_drives_that_training_has_kept_are_scored(tiny_model, tmp_path, capsys):
    pytest.importorskip("torch", reason="training keeps them")
    from kdmos_ros.train.config.data_recipe import DataRecipe
    from kdmos_ros.train.data.simulated_drives import simulate_drives

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


def test_simulated_lidars_sit_where_they_are_asked_to(monkeypatch):
    from kdmos_ros.commands import _eval_sources
    from kdmos_ros.io import sources

    asked = []

    def open_sources(where, rate_hz, sensor, scene, **options):
        asked.append((sensor.name, scene, sensor.mount, sensor.attitude_deg))
        return [SimpleNamespace(name="sim:1", labelled=True)]

    monkeypatch.setattr(sources, "open_sources", open_sources)
    parser = argparse.ArgumentParser()
    _eval_sources.add_source_options(parser)
    parser.set_defaults(bag="sim:1", by_sensor=False, base_to_lidar=None, predictions=None,
                        labels=None, cloud=None, odom=None, lidar=None, deskew=None)  # fmt: skip
    options = ["--scene", "hall", "--height", "0.3,2.5", "--mount-rpy", "0 90 0"]
    found = _eval_sources.find_sources(parser.parse_args(options))
    assert [source.name for source in found] == ["sim:1:0.3m", "sim:1:2.5m"]
    turned = (0.0, 90.0, 0.0)
    assert asked == [("hdl64e", "hall", (h, h), turned) for h in (0.3, 2.5)]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--height", "0"], "expected metres above 0, got '0'"),
        (["--height", "1,high"], "expected metres above 0, got 'high'"),
        (["--mount-rpy", "0 90"], "expected three angles, got '0 90'"),
    ],
)
def test_mounts_that_make_no_sense(option, message, capsys):
    with pytest.raises(SystemExit):
        cli.main(["eval", "sim:1", *option])
    assert message in capsys.readouterr().err
