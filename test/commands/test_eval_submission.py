"""`kdmos eval` writes predictions in the benchmark's layout, ready to hand in."""

import shutil
import zipfile

import numpy as np
from eval_harness import N_SCANS, evaluate, failure, points

TEST = [str(i) for i in range(11, 22)]


def test_predictions_in_the_submission_layout(mos_root, forward_segmenter, tmp_path):
    evaluate(tmp_path, mos_root, "--sequence", "30,31", "--predictions", tmp_path / "out")
    for sequence in ("30", "31"):
        folder = tmp_path / "out" / "sequences" / sequence / "predictions"
        assert [f.name for f in sorted(folder.iterdir())] == [
            f"{i:06d}.label" for i in range(N_SCANS)
        ]
        expected = np.where(points(sequence, 1)[:, 0] > 0, 251, 9)
        np.testing.assert_array_equal(np.fromfile(folder / "000001.label", "<u4"), expected)


def test_a_submission_ready_to_hand_in(mos_root, forward_segmenter, tmp_path, capsys):
    for sequence in TEST:
        folder = mos_root / "sequences" / sequence
        shutil.copytree(mos_root / "sequences" / "08", folder)
        shutil.rmtree(folder / "labels")
    out = tmp_path / "out"
    evaluate(tmp_path, mos_root, "--split", "test", "--predictions", out, "--zip")
    assert "submission.zip: checked, ready to hand in" in capsys.readouterr().out
    with zipfile.ZipFile(out / "submission.zip") as archive:
        names = archive.namelist()
        for sequence in TEST:
            inside = f"sequences/{sequence}/predictions/"
            assert {f"sequences/{sequence}/", inside} <= set(names)
            labels = np.frombuffer(archive.read(f"{inside}000001.label"), "<u4")
            np.testing.assert_array_equal(labels, np.where(points("08", 1)[:, 0] > 0, 251, 9))
    assert len(names) == 1 + len(TEST) * (2 + N_SCANS)


def test_an_archive_says_what_it_lacks_of_a_submission(
    mos_root, forward_segmenter, tmp_path, capsys
):
    evaluate(tmp_path, mos_root, "--sequence", "30,31", "--predictions", tmp_path / "out", "--zip")
    assert "wants the sequences 11 to 21, and these are 30, 31" in capsys.readouterr().out
    arguments = ["--limit", "2", "--predictions", tmp_path / "short", "--zip"]
    assert "leave out --limit" in failure(capsys, mos_root, *arguments)


def test_hidden_labels_give_predictions_only(mos_root, forward_segmenter, tmp_path, capsys):
    labels = mos_root / "sequences" / "08" / "labels"
    for path in labels.iterdir():
        path.unlink()
    labels.rmdir()
    assert "08 has no labels; --predictions" in failure(capsys, mos_root)
    content = evaluate(tmp_path, mos_root, "--predictions", tmp_path / "out")
    assert content["iou_moving"] is None and content["points_labelled"] == 0
    assert len(list((tmp_path / "out/sequences/08/predictions").iterdir())) == N_SCANS


def test_zip_is_for_folders(tmp_path, capsys):
    arguments = ["sim:5", "--predictions", tmp_path / "out", "--zip"]
    assert "--zip applies to folders" in failure(capsys, *arguments)
