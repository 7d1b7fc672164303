"""Labels by the teacher and the student: what each knows, in order, whatever the stream."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_teacher_harness import make_tiny_teacher

from kdmos_ros.errors import KdmosError
from kdmos_ros.labels import MOVING, UNLABELLED

pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.scan import Scan
from kdmos_ros.segmentation.segmenter import Segmentation, Segmenter
from kdmos_ros.train.data.teacher_window import TeacherWindows
from kdmos_ros.train.fitting import opinions
from kdmos_ros.train.fitting.judging_teacher import JudgingTeacher
from kdmos_ros.train.fitting.offline_segmenter import OfflineSegmenter

pytestmark = pytest.mark.slow
N = 400


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return str(make_tiny_teacher(tmp_path_factory.mktemp("teacher") / "tiny_teacher"))


def scans(n=14, step_ns=200_000_000):
    made = []
    for i in range(n):
        rng = np.random.default_rng(i)
        points = (rng.uniform(-1, 1, (N, 3)) * [30, 30, 2]).astype(np.float32)
        pose = np.eye(4)
        pose[0, 3] = 0.4 * i
        made.append(Scan(points, None, i * step_ns, pose))
    return made


def run(teacher, tiny_model, stream, threads=1, **options):
    students = [Segmenter(tiny_model, num_threads=1) for _ in range(threads)]
    with OfflineSegmenter(teacher, students, **options) as segmenter:
        futures = [segmenter.push(scan) for scan in stream]
        waiting = sum(not f.done() for f in futures)
        segmenter.flush()
        return [f.result(timeout=60) for f in futures], waiting


def assert_same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.stamp_ns == other.stamp_ns
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.moving_probability, other.moving_probability)


def test_labels_do_not_depend_on_threads(teacher, tiny_model):
    one, _ = run(teacher, tiny_model, scans())
    two, _ = run(teacher, tiny_model, scans(), threads=3)
    assert_same(one, two)
    assert any((found.labels == MOVING).any() for found in one)


def test_only_the_window_is_held(teacher, tiny_model):
    _, waiting = run(teacher, tiny_model, scans(60))
    assert waiting <= 4 + 4 + 2  # its future, the votes', and those in work


def test_labels_change_with_what_comes_later(teacher, tiny_model):
    whole, _ = run(teacher, tiny_model, scans(12))
    cut, _ = run(teacher, tiny_model, scans(8))
    assert_same(whole[:1], cut[:1])
    assert (whole[7].moving_probability != cut[7].moving_probability).any()


def test_a_reset_is_the_end_of_one_recording_and_the_start_of_another(teacher, tiny_model):
    expected, _ = run(teacher, tiny_model, scans(9))
    with OfflineSegmenter(teacher, [Segmenter(tiny_model, num_threads=1)]) as segmenter:
        for _ in range(2):
            futures = [segmenter.push(scan) for scan in scans(9)]
            segmenter.reset()
            assert_same([f.result(timeout=60) for f in futures], expected)


def test_a_scan_alone_tells_nothing(teacher, tiny_model):
    (found,), _ = run(teacher, tiny_model, scans(1))
    assert not (found.labels == MOVING).any()
    assert (found.labels != UNLABELLED).any()


def test_stamps_must_rise(teacher, tiny_model):
    first = scans(1)[0]
    with pytest.raises(ValueError, match="not newer"):
        run(teacher, tiny_model, [first, first])


def test_an_error_costs_its_scan(teacher, tiny_model, monkeypatch):
    judge = opinions.Mixture.opinion

    def opinion(self, teacher, known, scan):
        if scan.stamp_ns == 5 * 200_000_000:
            raise RuntimeError("out of memory")
        return judge(self, teacher, known, scan)

    monkeypatch.setattr(opinions.Mixture, "opinion", opinion)
    with OfflineSegmenter(teacher, [Segmenter(tiny_model, num_threads=1)]) as segmenter:
        futures = [segmenter.push(scan) for scan in scans(9)]
        segmenter.flush()
    failed = [i for i, f in enumerate(futures) if f.exception() is not None]
    assert failed == [5]


def test_the_mixture_weighs_log_odds_above_each_threshold(teacher, tiny_model):
    """At its own threshold an opinion is neutral; equal opinions on either side cancel out."""
    segmenter = Segmenter(tiny_model, num_threads=1)
    spec = segmenter.spec
    stream = scans(2)
    segmenter.push(stream[0])
    question = segmenter.ask(stream[1])
    frame = question.frame
    rows = frame.index
    student = Segmentation.unlabelled(N, stream[1].stamp_ns)

    def mixed(student_p, teacher_p, alone=False):
        told = np.full((N, 3), np.nan, np.float32)
        told[:, 2] = teacher_p
        told[:, :2] = ((1 - teacher_p) / 2)[:, None] if np.ndim(teacher_p) else (1 - teacher_p) / 2
        known = replace(student, moving_probability=np.full(N, student_p, np.float32))
        mixture = opinions.Mixture(0.9, spec, alone)
        asked = opinions.Known(known, rows, frame.cell, question.own_body, frame.n_past > 0)
        found = mixture.opinion(told, asked, stream[1])
        return found.segmentation.moving_probability[rows]

    high = spec.moving_threshold
    assert mixed(high, 0.9) == pytest.approx(high)
    assert (mixed(high, 0.99) > high).all() and (mixed(high, 0.5) < high).all()
    assert mixed(0.6, np.nan) == pytest.approx(0.6)  # where only the student knows
    assert mixed(0.1, 0.9, alone=True) == pytest.approx(high)


def test_a_threshold_that_is_not_known_is_one_line(teacher, tiny_model, tmp_path):
    import shutil

    folder = tmp_path / "teacher"
    shutil.copytree(teacher, folder)
    (folder / "figures.json").unlink()
    with pytest.raises(KdmosError, match="threshold is not known"):
        OfflineSegmenter(str(folder), [Segmenter(tiny_model, num_threads=1)])


def test_bfloat16_changes_little(teacher):
    """It is used where the CPU multiplies in it; everywhere it can be."""
    judge = JudgingTeacher(teacher)
    windows = TeacherWindows(judge.window, make_transform(np.eye(3), [0, 0, 1.7]))
    jobs = [job for scan in scans(6) for job in windows.push(scan)]
    window = jobs[-1].make()
    judge._bf16 = False
    exact = judge.probabilities(window, N)
    judge._bf16 = True
    found = judge.probabilities(window, N)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=0.03)
    assert (found != exact).any()
