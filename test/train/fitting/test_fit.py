"""The student's loss with a teacher, and what a run writes about itself."""

import dataclasses
import json
import time

import pytest
from student_harness import inputs, tiny

torch = pytest.importorskip("torch", reason="training needs torch")

from kdmos_ros.train.config.fit_recipe import FitRecipe  # noqa: E402
from kdmos_ros.train.config.recipe import DistilRecipe  # noqa: E402
from kdmos_ros.train.data.training_samples import Batch  # noqa: E402
from kdmos_ros.train.fitting.distillation import DISTILLATION, knowable, wdcd  # noqa: E402
from kdmos_ros.train.fitting.fit import student_loss  # noqa: E402
from kdmos_ros.train.fitting.losses import cross_entropy, lovasz_softmax  # noqa: E402
from kdmos_ros.train.fitting.training_record import Record  # noqa: E402
from kdmos_ros.train.networks.student import Student  # noqa: E402

PLAN = FitRecipe(lovasz=0.7)


@pytest.fixture
def case():
    """(student, batch, logits); the teacher has no opinion of every third point."""
    config = tiny()
    torch.manual_seed(0)
    student = Student(config).eval()
    point, cell, z_bin, motion = inputs(config)
    teacher = torch.randn(len(point), 4).half()
    teacher[::3] = torch.nan
    labels = torch.randint(0, 4, (len(point),))
    batch = Batch(point, cell, z_bin, motion, labels, teacher)
    return student, batch, student(point, cell, z_bin, motion)


def test_without_distillation_the_teacher_does_not_matter(case):
    student, batch, logits = case
    terms = student_loss(student, batch, PLAN, None)
    assert set(terms) == {"cross_entropy", "lovasz"}
    expected = cross_entropy(logits, batch.labels, PLAN.class_weights)
    torch.testing.assert_close(terms["cross_entropy"], expected)
    torch.testing.assert_close(terms["lovasz"], 0.7 * lovasz_softmax(logits, batch.labels))


@pytest.mark.parametrize("name", sorted(DISTILLATION))
def test_distillation_is_the_named_loss_on_judged_points(case, name):
    student, batch, logits = case
    distil = DistilRecipe(loss=name, weight=0.3, temperature=2.0)
    terms = student_loss(student, batch, PLAN, distil)
    judged = torch.arange(len(logits)) % 3 != 0
    expected = DISTILLATION[name](
        logits[judged], batch.teacher[judged], batch.labels[judged], temperature=2.0
    )
    torch.testing.assert_close(terms["distil"], 0.3 * expected)
    sum(terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)


def test_the_class_weights_of_wdcd_are_those_of_the_recipe(case):
    student, batch, _ = case
    terms = [
        student_loss(student, batch, PLAN, DistilRecipe(class_weights=weights))["distil"]
        for weights in (None, (0.0, 1.0, 1.0, 1.0))
    ]
    assert terms[0] != terms[1]


def test_weights_of_objects_reach_every_term(case):
    student, batch, logits = case
    weights = torch.rand(len(logits)) + 0.1
    batch = dataclasses.replace(batch, weight=weights)
    terms = student_loss(student, batch, PLAN, DistilRecipe(knowable=True))
    expected = cross_entropy(logits, batch.labels, PLAN.class_weights, weights)
    torch.testing.assert_close(terms["cross_entropy"], expected)
    expected = 0.7 * lovasz_softmax(logits, batch.labels, weights)
    torch.testing.assert_close(terms["lovasz"], expected)
    rows, labels = knowable(batch.teacher, batch.labels)
    own = weights[rows]
    expected = 0.3 * wdcd(logits[rows], batch.teacher[rows], labels, point_weights=own)
    torch.testing.assert_close(terms["distil"], expected)


def test_a_teacher_without_any_opinion_teaches_nothing(case):
    student, batch, _ = case
    batch.teacher[:] = torch.nan
    terms = student_loss(student, batch, PLAN, DistilRecipe())
    assert terms["distil"] == 0
    sum(terms.values()).backward()


def test_a_log_forgets_what_will_be_done_again(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (20, 40, 60)]
    log.write_text("\n".join(lines) + '\n{"step": 80, "lo')  # killed while it wrote
    record = Record(tmp_path, "student", done=40, steps=100)
    record.step()
    record.scalars(60, 100, {"loss": 0.5})
    record.close()
    written = [json.loads(line) for line in log.read_text().splitlines()]
    assert written == [
        {"step": 20, "loss": 1.0},
        {"step": 40, "loss": 1.0},
        {"step": 60, "loss": 0.5},
    ]


def test_tensorboard_reads_the_figures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for done, steps in ((0, (20, 40, 60)), (40, (60, 80))):
        record = Record(tmp_path, "student", done, 80)
        for step in steps:
            record.scalars(step, 80, {"loss": step + done / 100})
        record.close()
        time.sleep(1.1)  # TensorBoard orders files by the second of their start
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, round(e.value, 2)) for e in events.Scalars("loss")] == [
        (20, 20.0),
        (40, 40.0),
        (60, 60.4),
        (80, 80.4),
    ]
