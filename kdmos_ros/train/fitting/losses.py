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
    logits, labels = _labelled(logits, labels)
    log_p = torch.log_softmax(logits, dim=1)
    return _weighted_nll(log_p, labels, class_weights) + _lovasz(log_p.exp(), labels)


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Weighted mean of -log p(label) over labelled points; 0 if there are none.

    Args: as in `segmentation_loss`.
    """
    logits, labels = _labelled(logits, labels)
    return _weighted_nll(torch.log_softmax(logits, dim=1), labels, class_weights)


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovasz extension of the Jaccard loss (Berman et al., CVPR 2018), mean over present classes.

    All points count as one image. Args: as in `segmentation_loss`.
    """
    logits, labels = _labelled(logits, labels)
    return _lovasz(torch.softmax(logits, dim=1), labels)


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


def _labelled(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    valid = (labels != UNLABELLED).nonzero().squeeze(1)
    return full_precision(logits).index_select(0, valid), labels.index_select(0, valid)


def _weighted_nll(log_p: Tensor, labels: Tensor, class_weights: Sequence[float] | None) -> Tensor:
    nll = -log_p.gather(1, labels[:, None]).squeeze(1)
    if class_weights is None:
        return weighted_mean(nll, torch.ones_like(nll))
    return weighted_mean(nll, class_weight_tensor(class_weights, log_p)[labels])


def _lovasz(probabilities: Tensor, labels: Tensor) -> Tensor:
    losses = []
    for label in torch.unique(labels).tolist():
        truth = (labels == label).to(probabilities.dtype)
        errors, order = torch.sort((truth - probabilities[:, label]).abs(), descending=True)
        losses.append(torch.dot(errors, _jaccard_gradient(truth[order])))
    if not losses:
        return probabilities.sum()  # of nothing: 0, and still part of the graph
    return torch.stack(losses).mean()


def _jaccard_gradient(truth: Tensor) -> Tensor:
    """(P,) 0/1 truth, worst error first -> growth of the Jaccard loss with each error."""
    hits = truth.cumsum(0)
    union = truth.sum() + torch.arange(1, len(truth) + 1, device=truth.device) - hits
    loss = 1.0 - (truth.sum() - hits) / union
    return torch.diff(loss, prepend=loss.new_zeros(1))
