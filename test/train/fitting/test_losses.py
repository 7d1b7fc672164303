"""Segmentation losses against plain formulas, and their corner cases."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kdmos_ros.train.fitting.losses import (  # noqa: E402
    KDMOS_CLASS_WEIGHTS,
    cross_entropy,
    lovasz_softmax,
    segmentation_loss,
)


def sample(n=60, classes=4, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=g, dtype=dtype) * 3
    return logits, torch.randint(0, classes, (n,), generator=g)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("loss", [cross_entropy, lovasz_softmax, segmentation_loss])
@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0]])
def test_nothing_labelled_gives_zero_and_zero_gradients(loss, labels):
    labels = torch.tensor(labels, dtype=torch.int64)
    logits = torch.randn(len(labels), 4, requires_grad=True)
    value = loss(logits, labels)
    assert value.item() == 0.0
    value.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", [cross_entropy, lovasz_softmax, segmentation_loss])
def test_saturated_logits_stay_finite(loss):
    logits = torch.tensor([[0, 6e4, -6e4, 0], [0, 6e4, 0, -6e4]], dtype=torch.float16)
    logits.requires_grad_()
    loss(logits, torch.tensor([1, 3])).backward()
    assert torch.isfinite(logits.grad).all()


def test_wrong_number_of_weights():
    logits, labels = sample()
    with pytest.raises(ValueError, match="3 class weights for 4 classes"):
        cross_entropy(logits, labels, (1, 2, 3))


@pytest.mark.parametrize("loss", [cross_entropy, lovasz_softmax, segmentation_loss])
def test_unlabelled_points_change_nothing(loss):
    logits, labels = sample()
    keep = labels != 0
    logits.requires_grad_()
    value = loss(logits, labels)
    torch.testing.assert_close(value, loss(logits[keep], labels[keep]))
    value.backward()
    assert (logits.grad[~keep] == 0).all()
    assert (logits.grad[keep] != 0).any(dim=1).any()


def test_cross_entropy_equals_its_formula():
    logits, labels = sample()
    w = np.array(KDMOS_CLASS_WEIGHTS)
    p, y = softmax(logits.numpy()), labels.numpy()
    nll = -np.log(p[np.arange(len(y)), y])
    expected = (w[y] * nll).sum() / w[y].sum()
    assert cross_entropy(logits, labels, KDMOS_CLASS_WEIGHTS).item() == pytest.approx(expected)
    assert cross_entropy(logits, labels).item() == pytest.approx(nll[y != 0].mean())


def jaccard_loss(mispredicted, truth):
    """Jaccard loss of a set of wrongly predicted points, straight from its definition."""
    union = (truth | mispredicted).sum()
    return mispredicted.sum() / union if union else 0.0


def test_lovasz_equals_its_definition():
    """sum over points, worst first, of error times growth of the Jaccard loss of the set so far."""
    logits, labels = sample(n=25)
    keep = labels.numpy() != 0
    p, y = softmax(logits.numpy())[keep], labels.numpy()[keep]
    losses = []
    for c in np.unique(y):
        truth = y == c
        errors = np.where(truth, 1 - p[:, c], p[:, c])
        wrong, before, loss = np.zeros(len(y), dtype=bool), 0.0, 0.0
        for i in np.argsort(-errors):
            wrong[i] = True
            now = jaccard_loss(wrong, truth)
            loss += errors[i] * (now - before)
            before = now
        losses.append(loss)
    assert lovasz_softmax(logits, labels).item() == pytest.approx(np.mean(losses))


def test_lovasz_is_the_jaccard_loss_for_hard_predictions():
    labels = torch.tensor([1] * 10 + [3] * 10)
    predicted = labels.clone()
    predicted[10:15] = 1  # half of the moving points are missed
    logits = torch.nn.functional.one_hot(predicted, 4).double() * 1000
    expected = np.mean([1 - 10 / 15, 1 - 5 / 10])
    assert lovasz_softmax(logits, labels).item() == pytest.approx(expected)


def test_a_point_of_weight_two_counts_as_two():
    logits, labels = sample(n=30)
    weights = torch.from_numpy(np.random.default_rng(1).integers(1, 4, 30)).double()
    often = torch.repeat_interleave(torch.arange(30), weights.long())
    for loss in (cross_entropy, lovasz_softmax):
        weighted = loss(logits, labels, point_weights=weights)
        torch.testing.assert_close(weighted, loss(logits[often], labels[often]))
        torch.testing.assert_close(
            loss(logits, labels, point_weights=torch.ones(30)), loss(logits, labels)
        )


def test_gradients():
    logits, labels = sample(n=12)
    logits.requires_grad_()
    torch.autograd.gradcheck(lambda z: segmentation_loss(z, labels, KDMOS_CLASS_WEIGHTS), logits)
