"""Models and recordings that lie are refused with one line, and take no memory for it."""

import io
import json
import os
import pickle
import resource
import shutil
import struct
import threading
import zipfile

import numpy as np
import pytest
from drive_harness import write_drive
from fault_harness import one_line, tell, times

from kdmos_ros.errors import KdmosError, ModelError
from kdmos_ros.inference.model import load_spec

pytestmark = pytest.mark.slow

ROOM_KIB = 400_000


class Bomb:
    """Runs something when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["KDMOS_TEST_BOMB"],)


@pytest.fixture(autouse=True)
def nothing_runs_and_memory_is_bounded(tmp_path, monkeypatch):
    """No code of a file runs, and no lie about a size is believed."""
    monkeypatch.setenv("KDMOS_TEST_BOMB", str(tmp_path / "bomb"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert not (tmp_path / "bomb").exists(), "code of a file has run"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + ROOM_KIB


@pytest.fixture
def model(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    return folder


def change(folder, **entries):
    """Rewrite entries of model.json; a dotted name is one of an inner part."""
    content = json.loads((folder / "model.json").read_text())
    for name, value in entries.items():
        *above, last = name.split("__")
        place = content
        for part in above:
            place = place[part]
        place[last] = value
    (folder / "model.json").write_text(json.dumps(content))


LIES = {
    "a huge grid": {"grid__n_rho": 10**9},
    "more cells than memory": {"grid__n_rho": 10**5, "grid__n_theta": 10**5},
    "a negative count": {"grid__n_z": -1},
    "a count that is text": {"grid__n_theta": "360"},
    "a path that climbs": {"sha256": {"encoder.onnx": "0", "bev.onnx": "0",
                                      "../../secret": "0"}},
    "hashes of other files": {"sha256": {"encoder.onnx": "0" * 64, "bev.onnx": "0" * 64}},
    "endless numbers": {"moving_threshold": float("inf")},
    "no number": {"moving_threshold": float("nan")},
    "a list for a mapping": {"features": []},
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_model_that_lies_is_refused(model, lie):
    from kdmos_ros.segmentation.segmenter import Segmenter

    change(model, **LIES[lie])
    with pytest.raises(ModelError) as caught:
        Segmenter(model, provider="cpu")
    one_line(caught.value)
    tell(f"model with {lie}", 1, "refused")


def test_a_model_whose_json_nests_without_end_is_refused(model):
    (model / "model.json").write_text('{"a":' * 100_000)
    with pytest.raises(ModelError) as caught:
        load_spec(model)
    one_line(caught.value)


@pytest.mark.parametrize("graph", ["encoder.onnx", "bev.onnx"])
def test_a_model_that_is_swapped_while_it_loads(model, other_tiny_model, graph):
    """Whatever is read is one whole model, the old or the new one, or the error says which file."""
    from kdmos_ros.segmentation.segmenter import Segmenter

    stop = threading.Event()

    def swap():
        sources = [model / graph, other_tiny_model / graph]
        contents = [path.read_bytes() for path in sources]
        number = 0
        while not stop.is_set():
            number += 1
            (model / graph).write_bytes(contents[number % 2])

    thread = threading.Thread(target=swap)
    thread.start()
    number, refused = times(10, 300), 0
    try:
        for _ in range(number):
            try:
                Segmenter(model, provider="cpu", num_threads=1)
            except ModelError as error:
                refused += 1
                assert graph in one_line(error)
    finally:
        stop.set()
        thread.join()
    assert refused, "the other graph is not of this model"
    tell(f"model loaded while {graph} is swapped", number, f"{refused} refused, naming the file")


def test_a_checkpoint_that_holds_code_is_refused(tmp_path):
    pytest.importorskip("torch", reason="checkpoints need torch")
    from kdmos_ros.train.networks import weights

    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(KdmosError) as caught:
        weights._load(path)
    one_line(caught.value)
    tell("checkpoint with a pickle in it", 1, "refused, nothing has run")


def array_file(shape, kind):
    """A .npy that says it has an array of this shape, without its bytes."""
    stream = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("shape", "kind"), [((10**13,), "<f4"), ((2**40, 3), "<f8"), ((4,), "|O"), ((-1,), "<f4")]
)
def test_a_drive_file_that_lies_is_refused(tmp_path, shape, kind):
    from kdmos_ros.io.drive_file import load_drive

    path = tmp_path / "drive.npz"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("points", "format", "stamps_ns", "counts"):
            file.writestr(f"{name}.npy", array_file(shape, kind) + pickle.dumps(Bomb()))
    with pytest.raises(KdmosError) as caught:
        load_drive(path)
    one_line(caught.value)
    tell(f"drive file of shape {shape}, {kind}", 1, "refused")


def read_all(path):
    from kdmos_ros.io.bag_file import BagFile, decode_cdr

    with BagFile(path) as bag:
        for raw in bag.messages():
            decode_cdr(raw)


def test_bags_with_any_numbers_changed_are_read_or_refused(tmp_path):
    """Lengths, counts, offsets: eight bytes of a bag at a time become something else."""
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    write_drive(tmp_path / "whole", 3, 20, compress=False)
    (source,) = (tmp_path / "whole").glob("*.mcap")
    whole = source.read_bytes()
    random = np.random.default_rng(0)
    number, refused = times(150, 5_000), 0
    numbers = (0, 1, 2**31 - 1, 2**32 - 1, 2**62, 2**64 - 1)
    for i in range(number):
        data = bytearray(whole)
        for _ in range(1 + i % 3):
            at = int(random.integers(0, len(data) - 8))
            data[at : at + 8] = struct.pack("<Q", int(random.choice(np.array(numbers, object))))
        path = tmp_path / "changed.mcap"
        path.write_bytes(data)
        try:
            read_all(path)
        except KdmosError as error:
            refused += 1
            one_line(error)
    assert refused > number / 10
    tell("bag with lengths and counts changed", number, f"{refused} refused; others read")


def test_a_bag_that_changes_while_it_is_read(tmp_path):
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    number, refused = times(12, 200), 0
    # Several chunks, so that there is always something that is not read yet.
    write_drive(tmp_path / "source", 40, 6_000, compress=False)
    (source,) = (tmp_path / "source").glob("*.mcap")
    random = np.random.default_rng(0)
    for i in range(number):
        path = tmp_path / f"bag_{i}"
        shutil.copytree(source.parent, path)
        file = path / source.name
        moment = int(random.integers(0, 40))
        try:
            from kdmos_ros.io.bag_file import BagFile, decode_cdr

            with BagFile(path) as bag:
                for count, raw in enumerate(bag.messages()):
                    if count == moment:
                        damage(file, i)
                    decode_cdr(raw)
        except KdmosError as error:
            refused += 1
            one_line(error)
        shutil.rmtree(path, ignore_errors=True)
    assert refused > number / 10
    tell("bag that is cut, overwritten or removed while it is read", number,
         f"{refused} ended with one line, the others were read")  # fmt: skip


def damage(file, kind):
    if kind % 3 == 0:
        os.truncate(file, file.stat().st_size // 2)
    elif kind % 3 == 1:
        with file.open("r+b") as stream:
            stream.write(os.urandom(file.stat().st_size))
    else:
        shutil.rmtree(file.parent)
