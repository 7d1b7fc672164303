"""Pictures of an evaluation."""

import pytest
from eval_harness import evaluate

from kdmos_ros.evaluation.bag_evaluation import Report


def test_pictures(tmp_path, mos_root, forward_segmenter):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    from matplotlib.image import imread

    evaluate(tmp_path, mos_root, "--plot", tmp_path / "plots")
    names = {p.name for p in (tmp_path / "plots").iterdir()}
    assert names == {"confusion.png", "by_range.png", "by_class.png"}
    for name in names:
        assert imread(tmp_path / "plots" / name)[..., :3].std() > 0.01, name


def test_pictures_by_sensor_and_delay(tmp_path, forward_segmenter):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    from matplotlib.image import imread

    from kdmos_ros.visualization.evaluation_plots import draw_delays

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
    from kdmos_ros.visualization.evaluation_plots import draw

    assert [p.name for p in draw(Report("m", "p"), tmp_path)] == ["confusion.png", "by_range.png"]
