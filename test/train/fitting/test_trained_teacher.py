"""Trained teachers as folders: written, read back, refused when they are not whole."""

import json
import shutil

import pytest

from kdmos_ros import cli
from kdmos_ros.errors import ModelError

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.features.grid import PolarGrid  # noqa: E402
from kdmos_ros.train.config.data_recipe import DataRecipe  # noqa: E402
from kdmos_ros.train.config.teacher_config import TeacherConfig, WindowSpec  # noqa: E402
from kdmos_ros.train.data.simulated_drives import simulate_drives  # noqa: E402
from kdmos_ros.train.data.training_drives import StoredDrive  # noqa: E402
from kdmos_ros.train.fitting.drive_metrics import teacher_metrics  # noqa: E402
from kdmos_ros.train.fitting.metrics_file import read_metrics, write_metrics  # noqa: E402
from kdmos_ros.train.fitting.trained_teacher import (  # noqa: E402
    TrainedTeacher,
    find_teacher,
    read_teacher,
    rounded,
    save_teacher,
)
from kdmos_ros.train.networks.teacher import Teacher  # noqa: E402

pytestmark = pytest.mark.slow

WINDOW = WindowSpec(lags_s=(0.2, -0.2), look_lags_s=(0.4,), pool_rows=1, ground_aligned=True)
CONFIG = TeacherConfig(n_features=WINDOW.n_features, point_width=8, widths=(8, 16), kernel="cross")


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    network = Teacher(CONFIG)
    for name, value in network.named_buffers():
        if name.endswith("running_var"):
            value.fill_(1e6)  # more than half precision holds
    return TrainedTeacher(rounded(network).eval(), WINDOW, {"steps": 3})


@pytest.fixture
def folder(teacher, tmp_path):
    save_teacher(teacher, tmp_path / "made")
    return tmp_path / "made"


def test_what_is_read_is_what_was_written(teacher, folder):
    again = read_teacher(folder)
    assert (again.window, again.training, again.network.config) == (WINDOW, {"steps": 3}, CONFIG)
    assert again.source == teacher.source
    assert not again.network.training
    for name, value in teacher.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value), name


def test_other_weights_are_another_source(teacher):
    before = teacher.source
    with torch.no_grad():
        next(iter(teacher.network.parameters())).add_(1)
    assert teacher.source != before


def test_weights_are_kept_in_half(folder):
    stored = torch.load(folder / "weights.pt", weights_only=True)
    assert stored["head.1.weight"].dtype == torch.float16
    assert stored["encoder.0.running_var"].max() == 1e6


def _without(name):
    return lambda folder: (folder / name).unlink()


def _edited(**changes):
    def edit(folder):
        path = folder / "teacher.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def _cut(folder):
    path = folder / "weights.pt"
    path.write_bytes(path.read_bytes()[:-100])


def _other_weights(folder):
    state = torch.load(folder / "weights.pt", weights_only=True)
    torch.save({name: value * 2 for name, value in state.items()}, folder / "weights.pt")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("teacher.json"), r"teacher\.json: cannot read"),
        (_without("weights.pt"), r"weights\.pt: cannot read"),
        (_cut, r"weights\.pt: damaged"),
        (_other_weights, r"weights\.pt: damaged or replaced"),
        (_edited(format=2), r"teacher\.json: not a usable teacher: this version reads format 1"),
        (_edited(window={"lags_s": [0]}), r"teacher\.json: not a usable teacher: window"),
        (_edited(window={"lags_s": [1]}), r"teacher\.json: .*network does not fit its window"),
        (_edited(network={"speed": 1}), r"teacher\.json: not a usable teacher"),
        (lambda f: (f / "teacher.json").write_text("[]"), r"teacher\.json: not a usable teacher"),
        (lambda f: (f / "teacher.json").write_text("{}"), r"teacher\.json: not a usable teacher"),
    ],
)
def test_a_folder_that_is_not_whole_says_what_is_wrong(folder, damage, message):
    damage(folder)
    with pytest.raises(ModelError, match=message):
        read_teacher(folder)


def test_teachers_are_found_by_path_and_by_name(folder, tmp_path, monkeypatch):
    assert find_teacher(str(folder)) == folder
    with pytest.raises(ModelError, match=r"no teacher 'kdmos_s': not a folder with teacher\.json"):
        find_teacher("kdmos_s")
    share = tmp_path / "share"
    shutil.copytree(folder, share / "models" / "wise")
    monkeypatch.setattr("kdmos_ros.train.fitting.trained_teacher.share_dir", lambda: share)
    assert find_teacher("wise") == share / "models" / "wise"
    with pytest.raises(ModelError, match=r"nor one of \['wise'\]"):
        find_teacher("unwise")


@pytest.fixture
def made():
    """How a teacher was made, as the stage notes it."""
    recipe = {
        "name": "x", "seed": 1, "teacher": {"fit": {"steps": 3, "batch_size": 1}},
        "data": {"drives": 2, "scans": 4, "sensors": {"vlp16": 1.0}, "validation_drives": 1},
    }  # fmt: skip
    return {
        "command": "kdmos train x.yaml", "code": "1.0", "parameters": 1234, "cpu_cores": 2,
        "device": "no GPU", "minutes": 3.0, "recipe": recipe,
    }  # fmt: skip


@pytest.fixture
def metrics(teacher):
    """Figures with a class whose movers are all missed, and parts without movers."""

    def part(recall, points=10, moving=5):
        shares = {"iou_moving": recall, "precision": 1.0, "false_positive_share": 0.0}
        return {**shares, "recall": recall, "points": points, "points_moving": moving}

    return {
        **part(0.75), "threshold": 0.4, "teacher": teacher.source,
        "by_range": {"0-20 m": part(0.5), "over 50 m": part(0.0, 0, 0)},
        "by_class": {"bus": part(0.0), "building": part(0.0, 10, 0)},
    }  # fmt: skip


def test_the_card_says_what_is_missed(teacher, metrics, made, tmp_path):
    told = TrainedTeacher(teacher.network, WINDOW, made)
    save_teacher(told, tmp_path)
    write_metrics(tmp_path, metrics)
    (tmp_path / "NOTES.md").write_text("## Notes\n\nSlow.\n")
    assert cli.main(["card", str(tmp_path)]) == 0
    card = (tmp_path / "CARD.md").read_text()
    for fact in ("kdmos train x.yaml", "0.2, 0.4 s ago, 0.2 s after", "1,234", "(0.4)", "Slow."):
        assert fact in card
    assert "| all | 0.750 | 1.000 | 0.750 | 0.000 % |" in card
    assert "| bus | 0.000 |" in card, "a class with movers, all missed, is left out"
    assert "over 50 m" not in card and "building" not in card


def test_figures_of_other_weights_stay_out_of_the_card(teacher, metrics, made, tmp_path, capsys):
    save_teacher(TrainedTeacher(teacher.network, WINDOW, made), tmp_path)
    write_metrics(tmp_path, {**metrics, "teacher": "teacher of yesterday"})
    assert cli.main(["card", str(tmp_path)]) == 2
    assert "left out, measured with other weights: figures.json" in capsys.readouterr().err
    assert "Validation" not in (tmp_path / "CARD.md").read_text()
    (tmp_path / "figures.json").write_text("{}")
    assert cli.main(["card", str(tmp_path)]) == 2
    assert "figures.json: not figures of a network" in capsys.readouterr().err


def test_figures_of_the_teacher_that_ships_are_of_its_weights():
    folder = find_teacher("kdmos_teacher")
    assert read_metrics(folder)["teacher"] == read_teacher(folder).source


def test_the_teacher_that_ships_finds_movers(tmp_path):
    """On drives that no training had, of the coarsest sensor; its card has figures of more."""
    data = DataRecipe(scans=10, dense_start=2, sensors={"vlp16": 1.0})
    drives = [StoredDrive(path) for path in simulate_drives(data, tmp_path, 3, 2_000_010)]
    metrics = teacher_metrics(read_teacher(find_teacher("kdmos_teacher")), drives, PolarGrid())
    assert metrics["points_moving"] > 500
    assert metrics["iou_moving"] > 0.75
