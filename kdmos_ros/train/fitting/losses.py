"""Losses of the student on labelled points: cross-entropy and Lovasz-softmax.

Label 0 (unlabelled) is ignored. A batch without any labelled point gives 0 with zero gradients,
so that a training step never becomes NaN. Logits may be half precision; sums are in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdmos_ros.labels import UNLABELLED

# Inverse frequency of unlabelled, static, movable, moving in SemanticKITTI-MOS, as in KDMOS.
KDMOS_CLASS_WEIGHTS = (0.0, 1.0716, 22.0882, 421.3364)


def segmentation_loss(
    logits: Tensor, labels: Tensor, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Cross-entropy plus Lovasz-softmax, the student's loss without a teacher.

    Args:
        logits: (P, C) float.
        labels: (P,) int64 in 0..C-1.
        class_weights: C numbers for the cross-entropy; None weighs all points alike.
    """
    logits, labels, _ = _labelled(logits, labels, None)
    log_p = torch.log_softmax(logits, dim=1)
    return _weighted_nll(log_p, labels, class_weights, None) + _lovasz(log_p.exp(), labels, None)


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weights: Sequence[float] | None = None,
    point_weights: Tensor | None = None,
) -> Tensor:
    """Weighted mean of -log p(label) over labelled points; 0 if there are none.

    Args: as in `segmentation_loss`; point_weights: (P,) float beside those of the classes.
    """
    logits, labels, own = _labelled(logits, labels, point_weights)
    return _weighted_nll(torch.log_softmax(logits, dim=1), labels, class_weights, own)


def lovasz_softmax(logits: Tensor, labels: Tensor, point_weights: Tensor | None = None) -> Tensor:
    """Lovasz extension of the Jaccard loss (Berman et al., CVPR 2018), mean over present classes.

    All points count as one image. Args: as in `cross_entropy`; a point of weight 2 counts as two.
    """
    logits, labels, own = _labelled(logits, labels, point_weights)
    return _lovasz(torch.softmax(logits, dim=1), labels, own)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """sum(w v) / sum(w), and 0 (with zero gradients) where all weights are 0. Both (P,)."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, torch.ones_like(total))


def class_weight_tensor(weights: Sequence[float], like: Tensor) -> Tensor:
    """(C,) weights in the type and on the device of (P, C) logits. Raises ValueError."""
    if len(weights) != like.shape[1]:
        raise ValueError(f"{len(weights)} class weights for {like.shape[1]} classes")
    return torch.as_tensor(weights, dtype=like.dtype, device=like.device)


def full_precision(logits: Tensor) -> Tensor:
    """float64 stays, everything else becomes float32."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _labelled(
    logits: Tensor, labels: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    valid = (labels != UNLABELLED).nonzero().squeeze(1)
    logits = full_precision(logits).index_select(0, valid)
    own = None if weights is None else weights.index_select(0, valid).to(logits.dtype)
    return logits, labels.index_select(0, valid), own


def _weighted_nll(
    log_p: Tensor, labels: Tensor, class_weights: Sequence[float] | None, own: Tensor | None
) -> Tensor:
    nll = -log_p.gather(1, labels[:, None]).squeeze(1)
    weights = torch.ones_like(nll) if own is None else own
    if class_weights is not None:
        weights = weights * class_weight_tensor(class_weights, log_p)[labels]
    return weighted_mean(nll, weights)


def _lovasz(probabilities: Tensor, labels: Tensor, own: Tensor | None) -> Tensor:
    losses = []
    for label in torch.unique(labels).tolist():
        truth = (labels == label).to(probabilities.dtype)
        errors, order = torch.sort((truth - probabilities[:, label]).abs(), descending=True)
        if own is None:
            gradient = _jaccard_gradient(truth[order])
        else:
            gradient = _weighted_jaccard_gradient(truth[order], own[order])
        losses.append(torch.dot(errors, gradient))
    if not losses:
        return probabilities.sum()  # of nothing: 0, and still part of the graph
    return torch.stack(losses).mean()


def _jaccard_gradient(truth: Tensor) -> Tensor:
    """(P,) 0/1 truth, worst error first -> growth of the Jaccard loss with each error."""
    hits = truth.cumsum(0)
    union = truth.sum() + torch.arange(1, len(truth) + 1, device=truth.device) - hits
    loss = 1.0 - (truth.sum() - hits) / union
    return torch.diff(loss, prepend=loss.new_zeros(1))


def _weighted_jaccard_gradient(truth: Tensor, weights: Tensor) -> Tensor:
    """As `_jaccard_gradient`, of points (P,) that count as so many."""
    of_class = truth * weights
    hits = of_class.cumsum(0)
    total = of_class.sum()
    loss = 1.0 - (total - hits) / (total + (weights - of_class).cumsum(0))
    return torch.diff(loss, prepend=loss.new_zeros(1))
