"""Cards are made of the specification, of what `kdmos eval` wrote, and of notes alone."""

import json
from dataclasses import replace

import pytest

from kdmos_ros import cli
from kdmos_ros.commands._options import shown_command
from kdmos_ros.evaluation.bag_evaluation import Report
from kdmos_ros.evaluation.metrics import ConfusionAccumulator
from kdmos_ros.evaluation.object_score import ObjectCounts, ObjectScore
from kdmos_ros.inference.model import load_spec, save_spec
from kdmos_ros.sim import Kind

torch = pytest.importorskip("torch", reason="the model of this test is made with torch")

from kdmos_ros.train.config.recipe import Recipe  # noqa: E402
from kdmos_ros.train.networks.student import Student, count_macs, small_config  # noqa: E402


@pytest.fixture
def model(tmp_path):
    """A model folder with a specification as the export writes it."""
    from tiny_model_harness import make_tiny_model

    folder = make_tiny_model(tmp_path / "tiny")
    figures = {"threshold": 0.35, "iou_moving": 0.7, "precision": 0.8, "recall": 0.85,
               "false_alarms_without_movers": 0.0004}  # fmt: skip
    training = {
        "command": "kdmos train tiny.yaml", "code": "0.1.0", "recipe": Recipe("tiny").to_dict(),
        "parameters": 1234567, "macs": 2_940_000_000, "macs_points": 100_000, "cpu_cores": 2,
        "device": "no GPU", "minutes": 3.0, "simulated_validation": figures,
    }  # fmt: skip
    save_spec(replace(load_spec(folder), training=training), folder)
    return folder


def by_object():
    """Two people found of three, one of them beyond 50 m; one false alarm in two scans."""
    score = ObjectScore()
    score.first_scans, score.scans = 1, 2
    score.whole = ObjectCounts(3, 2, 1)
    score.by_range[0], score.by_range[3] = ObjectCounts(2, 2, 1), ObjectCounts(1, 0)
    score.by_kind[Kind.PEDESTRIAN] = ObjectCounts(3, 2)
    return score.to_dict()


def write_figures(model, name, data, **changes):
    report = Report("tiny", "cpu", ConfusionAccumulator(80, 5, 15, 900), scans=7)
    report.sensors = {"hdl64e": ConfusionAccumulator(50, 5, 10, 500),
                      "mid360": ConfusionAccumulator(30, 0, 5, 400)}  # fmt: skip
    report.breakdown.by_range[1] = ConfusionAccumulator(30, 1, 9, 300)
    report.breakdown.by_kind[Kind.CAR] = ConfusionAccumulator(60, 0, 20, 0)
    content = {
        **report.to_dict(), "data": data, "command": f"kdmos eval {data}",
        "weights": load_spec(model).sha256["bev.onnx"], **changes,
    }  # fmt: skip
    path = model / "figures" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def card(model):
    assert cli.main(["card", str(model)]) == 0
    return (model / "CARD.md").read_text()


def test_facts(model):
    text = card(model)
    for fact in ("# tiny", "`kdmos train tiny.yaml`", "| parameters | 1,234,567 |", "0.040 %",
                 "2.94 billion for a scan of 100,000 points", "500 simulated drives of 11 scans",
                 "no recorded data", load_spec(model).sha256["encoder.onnx"]):  # fmt: skip
        assert fact in text, fact
    assert "## Simulated" not in text and "## Recordings" not in text


def test_tables_of_figures(model):
    write_figures(model, "sensors", "sim:1-2")
    write_figures(model, "road", "bag")
    write_figures(model, "quiet", "bag", iou_moving=None, precision=None, recall=None)
    (model / "NOTES.md").write_text("## Known failures\n\n- Long sides.\n")
    text = card(model)
    for row in (
        "## Simulated: sensors\n\n`kdmos eval sim:1-2`",
        "| all | 0.800 | 0.941 | 0.842 | 0.552 % |",
        "| mid360 | 0.857 | 1.000 | 0.857 | 0.000 % |",
        "| 20-35 m | 0.750 | 0.968 | 0.769 | 0.332 % |",
        "| car | 80 | 0.750 | 0 | - |",
        "| road | 7 | 0.800 | 0.941 | 0.842 | 0.552 % | - | 0.750 | - |",
        "| quiet | 7 | - | - | - | 0.552 % | - | 0.750 | - |",
        "## Known failures\n\n- Long sides.\n",
    ):
        assert row in text, row
    assert "0-20 m | 0" not in text, "bands without points have no row"


def test_tables_by_object(model):
    write_figures(model, "before", "bag")
    assert "objects found" not in card(model), "nothing is told of them"
    write_figures(model, "sensors", "sim:1-2", **by_object())
    write_figures(model, "road", "bag", **by_object())
    spec = load_spec(model)
    part = {"recall": 0.5, "objects": 4}
    figures = {**spec.training["simulated_validation"], "by_object": {
        **part, "false_alarms_a_scan": 0.25,
        "by_range": {"0-20 m": part, "20-35 m": {"recall": None, "objects": 0}},
    }}  # fmt: skip
    training = {**spec.training, "simulated_validation": figures}
    save_spec(replace(spec, training=training), model)
    text = card(model)
    for row in (
        "| all | 3 | 0.667 |\n| 0-20 m | 2 | 1.000 |\n| 50-80 m | 1 | 0.000 |\n| pedestrian | 3 |",
        "0.50 false alarms a scan.",
        "| road | 1.000 of 2 | - | - | 0.000 of 1 | 0.50 |",
        "| objects found | 0-20 m | false alarms a scan |\n|---|---|---|\n"
        "| 0.500 of 4 | 0.500 of 4 | 0.25 |",
    ):
        assert row in text, row
    assert "| before | 0" not in text and "| before | 7 |" in text


def test_the_curve_against_delay(model):
    write_figures(model, "curve", "sim:1-2")
    path = model / "figures" / "curve.json"
    one = json.loads(path.read_text())
    later = {**one, "lookahead": 2, "delay_s": 0.2, "iou_moving": 0.9}
    path.write_text(json.dumps([one, later]))
    text = card(model)
    assert "## Delay: curve\n\n`kdmos eval sim:1-2`\n\n| delay | seconds | moving IoU |" in text
    assert "| 0 scans | 0 | 0.800 | 0.941 | 0.842 | 0.552 % |" in text
    assert "| 2 scans | 0.2 | 0.900 | 0.941 | 0.842 | 0.552 % |" in text
    assert "## Simulated" not in text and "later scans" not in text
    path.write_text(json.dumps([{**one, "weights": "another"}, later]))
    assert cli.main(["card", str(model)]) == 2


def test_a_model_that_looks_ahead_says_so(model):
    from kdmos_ros.features.visibility import VisibilitySpec

    spec = load_spec(model)
    features = replace(spec.features, visibility=VisibilitySpec(future_lags_s=(0.2, 0.4)))
    save_spec(replace(spec, features=features), model)
    assert "| later scans | 0.2, 0.4 s after, if lookahead waits for them |" in card(model)


def test_figures_of_other_weights_are_left_out_and_named(model, capsys):
    write_figures(model, "old", "bag", weights="another")
    assert cli.main(["card", str(model)]) == 2
    assert "other weights: old.json" in capsys.readouterr().err
    assert "Recordings" not in (model / "CARD.md").read_text()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weights": "x"}'])
def test_what_is_no_figures_is_named(model, capsys, content):
    write_figures(model, "bad", "bag")
    (model / "figures" / "bad.json").write_text(content)
    assert cli.main(["card", str(model)]) == 2
    assert "bad.json: not figures for a card" in capsys.readouterr().err


def test_evaluation_writes_what_a_card_needs(model, tmp_path):
    out = model / "figures" / "sensors.json"
    out.parent.mkdir()
    command = ["eval", "sim:5", "--sensor", "vlp16,mid360", "--duration", "0.4", "--rate", "5",
               "--model", str(model), "--json", str(out), "--plot", str(tmp_path)]  # fmt: skip
    assert cli.main(command) == 0
    text = card(model)
    shown = "kdmos eval sim:5 --sensor vlp16,mid360 --duration 0.4 --rate 5 --model"
    assert f"`{shown} {model.parent.name}/tiny`" in text
    assert "| mid360 |" in text and "| class | points moving |" in text


def test_commands_are_shown_without_outputs_and_places():
    words = [
        "eval",
        "/a/b/c/bag",
        "--zip",
        "--labels=/a/b/c/labels",
        "--json",
        "/x",
        "--json=y",
        "-n",
    ]
    shown = shown_command(words, {"--json": 1, "--zip": 0})
    assert shown == "kdmos eval c/bag --labels=c/labels -n"


def test_multiply_accumulates_by_hand():
    """Ten points more cost their encoder, and ten cells more their head."""
    config = small_config(5, 12, width=0.25, encoder_widths=(8, 6), n_rho=48, n_phi=40, halo=4)
    student = Student(config).train()
    more = count_macs(student, 30) - count_macs(student, 20)
    head = config.decoder_widths[-1] * config.n_z * config.n_classes
    assert more == 10 * (5 * 8 + 8 * 6 + head)
    assert student.training and count_macs(student, 20) > 1_000_000
