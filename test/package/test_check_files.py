"""scripts/check_files.py: released weights are what models.json says, and nothing else is large."""

import importlib.util
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check_files():
    spec = importlib.util.spec_from_file_location("check_files", ROOT / "scripts/check_files.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path, check_files):
    """A repository with one released model."""
    model = tmp_path / "models" / "small"
    model.mkdir(parents=True)
    (model / "bev.onnx").write_bytes(bytes(4_000_000))
    (model / "model.json").write_text("{}")
    (tmp_path / "models" / "models.json").write_text("{}")
    (tmp_path / "package.xml").write_text("<package><version>1.2.3</version></package>")
    check_files.release(tmp_path, "small")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    return tmp_path


def test_the_shipped_models_are_the_released_ones(check_files):
    released = check_files.released_models(ROOT)
    assert list(check_files.problems(ROOT, [])) == []
    folders = {path.parent.name for path in (ROOT / "models").glob("*/*.onnx")}
    assert folders <= set(released)


def test_a_model_spec_and_the_list_agree_on_hashes(check_files):
    for name, entry in check_files.released_models(ROOT).items():
        spec = ROOT / "models" / name / "model.json"
        if spec.is_file():
            assert json.loads(spec.read_text())["sha256"] == entry["sha256"], name


def test_a_released_model_may_be_large(root, check_files, capsys):
    assert check_files.main([], root) == 0, capsys.readouterr().err
    released = check_files.released_models(root)
    assert released["small"]["version"] == "1.2.3" and set(released["small"]["sha256"]) == {
        "bev.onnx"
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: (m / "bev.onnx").write_bytes(b"trial"), "bev.onnx: not the released weights"),
        (lambda m: (m / "bev.fp16.onnx").write_bytes(b"more"), "fp16.onnx: not the released"),
        (lambda m: (m / "bev.onnx").unlink(), "bev.onnx: missing"),
    ],
)
def test_other_weights_than_the_released_are_refused(root, check_files, capsys, change, complaint):
    change(root / "models" / "small")
    assert check_files.main([], root) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "size", "complaint"),
    [
        ("docs/film.gif", 3_100_000, "docs/film.gif: 3.1 MB, the limit is 3 MB"),
        ("docs/picture.png", 2_900_000, None),
        ("models/trial/bev.onnx", 10, "a model that is not in models/models.json"),
    ],
)
def test_what_else_is_large_is_refused(root, check_files, capsys, name, size, complaint):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    assert check_files.main([name], root) == (1 if complaint else 0)
    assert (complaint or "") in capsys.readouterr().err


def test_archives_hold_the_models(root, check_files, tmp_path):
    out = tmp_path / "out"
    assert check_files.main(["--archive", str(out)], root) == 0
    with tarfile.open(out / "small-1.2.3.tar.gz") as tar:
        assert {"small/bev.onnx", "small/model.json"} <= set(tar.getnames())
    digest, name = (out / "SHA256SUMS").read_text().split()
    assert name == "small-1.2.3.tar.gz" and digest == check_files.sha256(out / name)
