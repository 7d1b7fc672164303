"""Distillation losses against independent float64 formulas, gradients included."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kdmos_ros.train.fitting.distillation import (  # noqa: E402
    DISTILLATION,
    decoupled,
    kl_divergence,
    knowable,
    wdcd,
)

T = 4.0
WEIGHTS = np.array([0.0, 1.0716, 22.0882, 421.3364])


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def kl(q, p):
    return float(np.sum(q * np.log(q / p)))


def tckd_nckd(z, t, y):
    """Both terms of one point from probabilities, without logarithms of sums."""
    p, q = softmax(z / T), softmax(t / T)
    target = kl(np.array([q[y], 1 - q[y]]), np.array([p[y], 1 - p[y]]))
    rest = np.arange(len(z)) != y
    return target, kl(softmax(t[rest] / T), softmax(z[rest] / T))


def numpy_wdcd(student, teacher, labels):
    terms = np.array([tckd_nckd(z, t, y) for z, t, y in zip(student, teacher, labels, strict=True)])
    weights = WEIGHTS[labels]
    nckd = (weights * terms[:, 1]).sum() / weights.sum() if weights.sum() else 0.0
    moving = labels == 3
    tckd = terms[moving, 0].mean() if moving.any() else 0.0
    return 3 * nckd + tckd


def numpy_dkd(student, teacher, labels):
    terms = np.array([tckd_nckd(z, t, y) for z, t, y in zip(student, teacher, labels, strict=True)])
    return T**2 * (terms[:, 0] + 8 * terms[:, 1])[labels != 0].mean()


def numpy_kl(student, teacher, labels):
    terms = [kl(softmax(t / T), softmax(z / T)) for z, t in zip(student, teacher, strict=True)]
    return T**2 * np.array(terms)[labels != 0].mean()


FORMULAS = {"wdcd": numpy_wdcd, "dkd": numpy_dkd, "kl": numpy_kl}


def sample(n=20, seed=0, labels=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n) if labels is None else np.array(labels, dtype=np.int64)
    shape = (len(labels), 4)
    return rng.normal(0, 4, shape), rng.normal(0, 4, shape), labels


def evaluate(loss, student, teacher, labels):
    z = torch.tensor(student, requires_grad=True)
    value = loss(z, torch.tensor(teacher), torch.tensor(labels))
    value.backward()
    return value.item(), z.grad.numpy()


@pytest.mark.parametrize("loss", DISTILLATION.values(), ids=DISTILLATION.keys())
def test_points_that_do_not_match_are_refused(loss):
    with pytest.raises(ValueError, match="not of the same points"):
        loss(torch.zeros(3, 4), torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("name", DISTILLATION)
@pytest.mark.parametrize("seed", range(3))
def test_value_and_gradient_equal_the_formula(name, seed):
    student, teacher, labels = sample(seed=seed)
    formula = FORMULAS[name]
    value, gradient = evaluate(DISTILLATION[name], student, teacher, labels)
    assert value == pytest.approx(formula(student, teacher, labels), rel=1e-10)
    step, numeric = 1e-5, np.zeros_like(student)
    for i in np.ndindex(*student.shape):
        up, down = student.copy(), student.copy()
        up[i] += step
        down[i] -= step
        difference = formula(up, teacher, labels) - formula(down, teacher, labels)
        numeric[i] = difference / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", DISTILLATION)
@pytest.mark.parametrize("labels", [[], [0, 0]])
def test_nothing_labelled_gives_zero(name, labels):
    value, gradient = evaluate(DISTILLATION[name], *sample(labels=labels))
    assert value == 0.0
    assert (gradient == 0).all()


def test_no_moving_point_leaves_the_other_term():
    data = sample(labels=[0, 1, 1, 2])
    value, gradient = evaluate(wdcd, *data)
    assert value == pytest.approx(numpy_wdcd(*data))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", DISTILLATION)
@pytest.mark.parametrize("scale", [1e2, 6e4])
def test_saturated_logits_stay_finite(name, scale):
    rng = np.random.default_rng(0)
    student, teacher = (np.sign(rng.normal(size=(30, 4))) * scale for _ in range(2))
    labels = torch.tensor(rng.integers(0, 4, 30))
    z = torch.tensor(student, dtype=torch.float32, requires_grad=True)
    value = DISTILLATION[name](z, torch.tensor(teacher, dtype=torch.float16), labels)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("name", DISTILLATION)
def test_a_student_like_its_teacher_has_nothing_to_learn(name):
    _, teacher, labels = sample()
    value, gradient = evaluate(DISTILLATION[name], teacher, teacher, labels)
    assert value == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


@pytest.mark.parametrize("loss", [wdcd, decoupled, kl_divergence])
def test_the_teacher_gets_no_gradient(loss):
    student, teacher, labels = sample()
    t = torch.tensor(teacher, requires_grad=True)
    loss(torch.tensor(student, requires_grad=True), t, torch.tensor(labels)).backward()
    assert t.grad is None


def test_static_target_term_does_not_count():
    """A confident but wrong teacher on a static point moves only the non-target term."""
    student = np.zeros((1, 4))
    teacher = np.array([[0.0, 40.0, 0.0, 0.0]])  # others equal: no non-target loss
    value, _ = evaluate(wdcd, student, teacher, np.array([1]))
    assert value == pytest.approx(0.0, abs=1e-12)
    value, _ = evaluate(wdcd, student, np.array([[0.0, 0.0, 0.0, 40.0]]), np.array([3]))
    assert value > 0.5


def test_weights_of_points_are_of_both_terms():
    student, teacher, labels = (torch.tensor(x) for x in sample())
    one = (labels == 3) & (torch.arange(len(labels)) > 4)
    value = wdcd(student, teacher, labels, point_weights=one.double())
    torch.testing.assert_close(value, wdcd(student[one], teacher[one], labels[one]))


def test_what_a_student_can_know():
    said = {"moving": [0.0, 0, 0, 9], "static": [0.0, 9, 0, 0], "unsure": [0.0, 0.5, 0, 0]}
    cases = [
        ("moving", 3, 3),
        ("moving", 1, None),
        ("static", 3, None),
        ("static", 2, 2),  # what stands can be of either class
        ("moving", 0, 3),
        ("unsure", 0, None),
    ]
    teacher = torch.tensor([said[name] for name, _, _ in cases])
    teacher = torch.cat((teacher, torch.full((1, 4), torch.nan)))
    rows, labels = knowable(teacher, torch.tensor([label for _, label, _ in cases] + [1]))
    expected = [(i, as_label) for i, (_, _, as_label) in enumerate(cases) if as_label is not None]
    assert list(zip(rows.tolist(), labels.tolist(), strict=True)) == expected
