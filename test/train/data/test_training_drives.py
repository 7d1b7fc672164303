"""Drives to learn from: every source gives the same scans, cut to length, by name and weight."""

from collections import Counter

import numpy as np
import pytest
from training_harness import make_drive, write_drives

from kdmos_ros.errors import KdmosError
from kdmos_ros.io.semantickitti_writer import new_sequence
from kdmos_ros.labels import UNLABELLED, to_semantickitti
from kdmos_ros.resources import share_dir
from kdmos_ros.train.config.checking import checked
from kdmos_ros.train.config.data_recipe import DataRecipe, SourceRecipe
from kdmos_ros.train.data.training_drives import cut, recorded_drives

pytestmark = pytest.mark.slow

DATA = DataRecipe(scans=3, spacing_s=0.2)
TRAIN = [f"{i:02d}" for i in (*range(8), 9, 10)]


def write_sequence(folder, seed=0, scans=8):
    """A sequence folder of `labelled.make_drive`, five scans a second."""
    with new_sequence(folder) as writer:
        for labelled in make_drive(seed, scans).scans:
            writer.add(labelled.scan, to_semantickitti(labelled.labels))
    return folder


@pytest.fixture
def kitti(tmp_path):
    """A data set with all sequences that the published splits name, but the test's."""
    root = tmp_path / "kitti"
    for seed, name in enumerate([*TRAIN, "08"]):
        write_sequence(root / "sequences" / name, seed, scans=4)
    return root


def opened(tmp_path, *sources, data=DATA):
    return recorded_drives(sources, data, tmp_path / "recorded")


@pytest.mark.parametrize(("rate", "step"), [(5.0, 1), (10.0, 2), (9.65, 2), (20.0, 4), (2.0, 1)])
def test_every_scan_is_in_one_piece(rate, step):
    stamps = (np.arange(23) / rate * 1e9).astype(np.int64)
    pieces = cut(stamps, DATA)
    assert sorted(i for piece in pieces for i in piece) == list(range(23))
    assert all(len(piece) <= 3 and piece.step == step for piece in pieces)
    assert sum(len(piece) == 3 for piece in pieces) >= 23 // (3 * step) * step
    assert cut(stamps[:1], DATA) == [range(1)] and cut(stamps[:0], DATA) == []


def test_a_folder_is_read_in_place(tmp_path):
    folder = write_sequence(tmp_path / "07")
    drives = opened(tmp_path, SourceRecipe(str(folder), height_m=2.0))
    truth = make_drive(0, 8).scans
    assert [drive.name for drive in drives] == [
        "07-07-000000-3x1", "07-07-000003-3x1", "07-07-000006-2x1"
    ]  # fmt: skip
    found = [labelled for drive in drives for labelled in drive.load().scans]
    assert [s.name for s in found] == [f"07/{i:06d}" for i in range(8)]
    for a, b in zip(truth, found, strict=True):
        np.testing.assert_array_equal(a.scan.points, b.scan.points)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_allclose(a.scan.pose, b.scan.pose, atol=1e-9)
    assert [n for drive in drives for n in drive.sizes()] == [len(s.labels) for s in truth]
    assert drives[0].load().base_T_sensor[2, 3] == 2.0
    assert not (tmp_path / "recorded").exists()


def test_published_splits_and_their_counterparts(kitti, tmp_path):
    data = DATA.only([str(kitti)])
    learned = opened(tmp_path, *data.sources)
    assert {drive.name.split("-")[1] for drive in learned} == set(TRAIN)
    held_out = opened(tmp_path, *data.held_out())
    assert {drive.name.split("-")[1] for drive in held_out} == {"08"}
    with_road = SourceRecipe("x", splits=("train", "road-train")).held_out()
    assert with_road.splits == ("val", "road-val")
    assert SourceRecipe("x", sequences=("00",)).held_out() is None
    own = DataRecipe(sources=data.sources, validation=(SourceRecipe("y"),))
    assert own.held_out() == (SourceRecipe("y"),)


def test_helimos_learns_from_the_scans_of_its_split(tmp_path):
    root = tmp_path / "KAIST05"
    for sensor in ("Aeva", "Avia", "Ouster", "Velodyne"):
        write_sequence(root / sensor)
    for split, scans in (("train", "0\n1\n4\n"), ("val", "6\n"), ("test", "7\n")):
        (root / f"{split}.txt").write_text(scans)
    drives = opened(tmp_path, SourceRecipe(str(root), sequences=("Avia", "Ouster")))
    assert [d.name.split("-", 1)[1] for d in drives] == [
        "Avia-000000-3x1", "Avia-000003-3x1", "Ouster-000000-3x1", "Ouster-000003-3x1"
    ]  # fmt: skip
    labelled = [bool((s.labels != UNLABELLED).any()) for d in drives[:2] for s in d.load().scans]
    assert labelled == [True, True, False, False, True, False]


def test_apollo_has_no_split_to_learn_from_but_sequences(tmp_path):
    write_sequence(tmp_path / "apollo" / "sequences" / "00")
    source = SourceRecipe(str(tmp_path / "apollo"), dataset="apollo", sequences=("00",))
    assert UNLABELLED not in opened(tmp_path, source)[0].load().scans[0].labels
    with pytest.raises(KdmosError, match="no split 'train'"):
        opened(tmp_path, SourceRecipe(str(tmp_path / "apollo"), dataset="apollo"))


def test_a_bag_is_stored_once(tmp_path):
    pytest.importorskip("rosbags", reason="bags are read with rosbags")
    from kdmos_ros.io.drive_bag import DriveWriter

    drive = make_drive(1, 8)
    with DriveWriter(tmp_path / "bag", drive.base_T_sensor) as writer:
        for labelled in drive.scans:
            writer.add(labelled.scan, to_semantickitti(labelled.labels))
    source = SourceRecipe(str(tmp_path / "bag"))
    drives = opened(tmp_path, source)
    assert [len(d.load().scans) for d in drives] == [3, 3, 2]
    first = drives[0].load()
    np.testing.assert_allclose(first.base_T_sensor, drive.base_T_sensor)
    np.testing.assert_array_equal(first.scans[1].labels, drive.scans[1].labels)
    np.testing.assert_allclose(first.scans[1].scan.points, drive.scans[1].scan.points, atol=0.0021)
    before = [path.stat().st_mtime_ns for path in (tmp_path / "recorded").rglob("*.npz")]
    assert [d.name for d in opened(tmp_path, source)] == [d.name for d in drives]
    assert before == [path.stat().st_mtime_ns for path in (tmp_path / "recorded").rglob("*.npz")]
    shorter = opened(tmp_path, source, data=DataRecipe(scans=2, spacing_s=0.2))
    assert [len(d.load().scans) for d in shorter] == [2, 2, 2, 2]


def test_drive_files_and_simulated_seeds(tmp_path):
    stored = write_drives(tmp_path, n=2)
    drives = opened(tmp_path, SourceRecipe(str(tmp_path), name="mine", weight=2.0))
    assert [d.name for d in drives] == ["mine-drive_0000000", "mine-drive_0000001"]
    assert drives[1].weight == 2 and drives[1].sizes() == stored[1].sizes()
    (simulated,) = opened(tmp_path, SourceRecipe("sim:3", sensor="vlp16", rate_hz=0.15))
    labelled = simulated.load().scans[0]
    assert labelled.speed is not None and labelled.instance is not None
    assert simulated.load().base_T_sensor[2, 3] > 0.3


def test_what_cannot_be_learned_from_is_named(kitti, tmp_path):
    with pytest.raises(KdmosError, match="two drives are called kitti-08-000000"):
        opened(tmp_path, *[SourceRecipe(str(kitti), sequences=("08",))] * 2)
    (kitti / "sequences" / "03" / "velodyne" / "000001.bin").unlink()
    with pytest.raises(KdmosError, match=r"03/poses\.txt: 4 rows, but velodyne/ has 3 scans"):
        opened(tmp_path, SourceRecipe(str(kitti)))
    labels = kitti / "sequences" / "08" / "labels"
    for path in labels.iterdir():
        path.unlink()
    labels.rmdir()
    with pytest.raises(KdmosError, match="sequences/08 has no labels to learn from"):
        opened(tmp_path, SourceRecipe(str(kitti), sequences=("08",)))
    with pytest.raises(KdmosError, match="no such bag"):
        opened(tmp_path, SourceRecipe(str(tmp_path / "nothing")))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("here", "data.sources must be a list, got 'here'"),
        ([{"path": ""}], r"data.sources\[0\].path: .* at least 1 character, got ''"),
        ([{"splits": ["train"]}], "path"),
        ([{"path": "x", "weight": 0}], r"data.sources\[0\].weight must be greater than 0, got 0"),
        ([{"path": "x", "colour": 1}], "colour"),
        ([3], r"data.sources\[0\] must be a mapping, got 3"),
    ],
)
def test_bad_entries(tmp_path, entries, message):
    pytest.importorskip("torch", reason="training needs torch")
    import yaml

    from kdmos_ros.train.config.recipe import load_recipe

    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "data": {"sources": entries}}))
    with pytest.raises(KdmosError, match=f"bad.yaml: not a usable recipe: .*{message}"):
        load_recipe(path)


def test_sources_of_a_recipe():
    sources = ["a", {"path": "b", "sequences": ["00", "01"], "weight": 0.5}]
    data = checked(DataRecipe, {"drives": 2, "sources": sources}, "data")
    assert data.sources == (
        SourceRecipe("a"), SourceRecipe("b", sequences=("00", "01"), weight=0.5)
    )  # fmt: skip
    assert data.drives == 2 and data.only(["c"]).sources == (SourceRecipe("c"),)


class Weighted:
    def __init__(self, name, weight):
        self.name, self.weight = name, weight


def test_weights_say_how_often_a_drive_comes():
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.train.data.stream import DriveStream

    drives = [Weighted("a", 1.0), Weighted("b", 2.0), Weighted("c", 0.25)]
    stream, rng = DriveStream(drives, None, 1, 0), np.random.default_rng(0)
    passes = [Counter(d.name for d in stream._one_pass(rng)) for _ in range(400)]
    assert all(p["a"] == 1 and p["b"] == 2 and p["c"] <= 1 for p in passes)
    assert 70 < sum(p["c"] for p in passes) < 130


def test_equal_weights_draw_what_they_always_drew():
    """Else runs that were started before weights existed would go on with other data."""
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.train.data.stream import DriveStream

    drives = [Weighted(i, 1.0) for i in range(9)]
    order = DriveStream(drives, None, 1, 0)._one_pass(np.random.default_rng(4))
    assert [d.name for d in order] == np.random.default_rng(4).permutation(9).tolist()


def test_a_truncated_scan_names_itself_in_training(kitti, tmp_path):
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.features.grid import PolarGrid
    from kdmos_ros.features.spec import FeatureSpec
    from kdmos_ros.train.data.stream import DriveStream, loader
    from kdmos_ros.train.data.training_samples import StudentReader

    (path,) = (kitti / "sequences" / "08" / "labels").glob("000002.label")
    path.write_bytes(path.read_bytes()[:-1])
    drives = opened(tmp_path, SourceRecipe(str(kitti), sequences=("08",)))
    reader = StudentReader(PolarGrid(n_rho=48, n_phi=40, n_z=12), FeatureSpec())
    with pytest.raises(KdmosError, match=r"08/labels/000002\.label: 1207 bytes"):
        next(loader(DriveStream(drives, reader, 4, 0, mix=1)))


def test_logits_of_another_program_for_a_folder(kitti, tmp_path):
    """XX_N.npy, as KDMOS's code names them, for scan N of sequence XX."""
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.features.grid import PolarGrid
    from kdmos_ros.train.config.fit_recipe import FitRecipe
    from kdmos_ros.train.config.recipe import DistilRecipe, Recipe
    from kdmos_ros.train.stages import train

    data = DataRecipe(drives=0, scans=2, sources=(SourceRecipe(str(kitti), sequences=("02",)),))
    recipe = Recipe(
        "x", data=data, grid=PolarGrid(n_rho=48, n_phi=40, n_z=12),
        student={"width": 0.25, "halo": 4, "encoder_widths": (8, 8)},
        fit=FitRecipe(steps=1, mix=1), distil=DistilRecipe(external="published"),
    )  # fmt: skip
    published = tmp_path / "published"
    published.mkdir()
    truth = [len(labelled.labels) for drive in opened(tmp_path, *data.sources, data=data)
             for labelled in drive.load().scans]  # fmt: skip
    for index, n in enumerate(truth[:-1]):
        np.save(published / f"02_{index}.npy", np.full((n, 4), index, np.float32))
    with pytest.raises(KdmosError, match=r"02_000003\.npy: no teacher logits of 02/000003 "):
        train(recipe, "", tmp_path, None, "logits")
    np.save(published / "02_000003.npy", np.full((truth[-1], 4), 3, np.float32))
    train(recipe, "", tmp_path, None, "logits")
    with np.load(tmp_path / "logits" / "kitti-02-000002-2x1.npz") as stored:
        assert stored["logits"].dtype == np.float16
        assert stored["logits"][:, 0].tolist() == [2.0] * truth[2] + [3.0] * truth[3]
    train(recipe, "", tmp_path, None, "student")
    assert (tmp_path / "checkpoint.pt").exists()


def test_all_stages_on_a_recorded_data_set(kitti, tmp_path, capsys):
    """`kdmos train --data` on a folder as SemanticKITTI-MOS: teacher, logits, student, export."""
    pytest.importorskip("torch", reason="training needs torch")
    from kdmos_ros.cli import main
    from kdmos_ros.inference.model import load_spec

    toy = share_dir() / "config" / "train" / "toy.yaml"
    work, out = tmp_path / "work", tmp_path / "model"
    arguments = ["train", str(toy), "--data", str(kitti), "--work", str(work), "--out", str(out)]
    assert main(arguments) == 0
    assert not list((work / "drives").glob("*.npz")), "nothing is simulated"
    assert not (work / "validation").exists()
    logits = sorted(path.stem for path in (work / "logits").iterdir())
    assert logits == sorted(f"kitti-{name}-000000-4x1" for name in TRAIN)
    training = load_spec(out).training
    assert training["recipe"]["data"]["sources"][0]["path"] == str(kitti)
    assert training["simulated_validation"]["false_alarms_without_movers"] is None
    card = (out / "CARD.md").read_text()
    assert "| data | kitti (train) |" in card and "Held-out drives that training" in card
    before = (work / "checkpoint.pt").read_bytes()
    assert main(arguments) == 0
    assert (work / "checkpoint.pt").read_bytes() == before, "it was finished"
