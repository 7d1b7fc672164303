"""Losses between the logits of a student and of a teacher, per point.

With temperature T, p = softmax(student / T) and q = softmax(teacher / T). All is computed from
logarithms, so saturated logits give large finite losses, and an empty batch or one without a
moving point gives 0 with zero gradients. No gradient goes to the teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.train.fitting.losses import (
    KDMOS_CLASS_WEIGHTS,
    class_weight_tensor,
    full_precision,
    weighted_mean,
)

TEMPERATURE = 4.0


def wdcd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    class_weights: Sequence[float] = KDMOS_CLASS_WEIGHTS,
    temperature: float = TEMPERATURE,
    nckd_factor: float = 3.0,
    point_weights: Tensor | None = None,
) -> Tensor:
    """Weighted decoupled class distillation of KDMOS (arXiv 2506.14130): 3 NCKD + TCKD.

    TCKD is averaged over the moving points only; NCKD is a mean over all points weighted by the
    class of their label.

    Args:
        student: (P, C) float logits.
        teacher: (P, C) float logits of the same points in the same order.
        labels: (P,) int64 in 0..C-1.
        class_weights: C weights of NCKD.
        point_weights: (P,) float, of both terms; None: all alike.
    """
    target, other = _decoupled(student, teacher, labels, temperature)
    own = torch.ones_like(target) if point_weights is None else point_weights.to(target.dtype)
    moving = own * (labels == MOVING)
    of_class = class_weight_tensor(class_weights, target[:, None].expand(-1, student.shape[1]))
    weights = own * of_class[labels]
    return nckd_factor * weighted_mean(other, weights) + weighted_mean(target, moving)


def decoupled(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    temperature: float = TEMPERATURE,
    target_factor: float = 1.0,
    other_factor: float = 8.0,
) -> Tensor:
    """Plain DKD (Zhao et al., CVPR 2022): T^2 (alpha TCKD + beta NCKD), mean of labelled points.

    Args: as in `wdcd`.
    """
    target, other = _decoupled(student, teacher, labels, temperature)
    valid = (labels != UNLABELLED).to(target.dtype)
    loss = target_factor * target + other_factor * other
    return temperature**2 * weighted_mean(loss, valid)


def kl_divergence(
    student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float = TEMPERATURE
) -> Tensor:
    """Plain distillation (Hinton et al., 2015): T^2 KL(q || p), mean of labelled points.

    Args: as in `wdcd`.
    """
    log_p, log_q = _log_softmaxes(student, teacher, labels, temperature)
    valid = (labels != UNLABELLED).to(log_p.dtype)
    return temperature**2 * weighted_mean(_kl(log_q, log_p), valid)


SURE = 0.9
"""From this probability on the answer of a teacher stands for a label where there is none."""


def knowable(teacher: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which points to learn from a teacher that knows more than its student can, and as what.

    Where its answer, moving or not, is not the label's, it errs. Points without a label take its
    answer if it is sure of that.

    Args: as in `wdcd`.

    Returns:
        rows (K,) int64, and the labels (K,) int64 of these points.
    """
    finite = torch.isfinite(teacher).all(dim=1)
    chance = torch.softmax(full_precision(teacher[:, UNLABELLED + 1 :]), dim=1)
    likely, answer = chance.max(dim=1)
    answer = answer + UNLABELLED + 1
    moves = chance[:, MOVING - UNLABELLED - 1] > 0.5
    agrees = moves == (labels == MOVING)
    labelled = labels != UNLABELLED
    rows = (finite & torch.where(labelled, agrees, likely >= SURE)).nonzero().squeeze(1)
    return rows, torch.where(labelled, labels, answer)[rows]


DISTILLATION: dict[str, Callable[..., Tensor]] = {
    "wdcd": wdcd,
    "dkd": decoupled,
    "kl": kl_divergence,
}
"""Losses by the name that a training configuration uses; each (student, teacher, labels)."""


def _decoupled(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """(P,) target-class and (P,) non-target-class divergences KL(q || p) of each point."""
    log_p, log_q = _log_softmaxes(student, teacher, labels, temperature)
    target_p, other_p = _split(log_p, labels)
    target_q, other_q = _split(log_q, labels)
    # log(1 - p_y) as a sum over the others, which keeps its digits where p_y rounds to 1.
    binary_p = torch.stack((target_p, other_p.logsumexp(dim=1)), dim=1)
    binary_q = torch.stack((target_q, other_q.logsumexp(dim=1)), dim=1)
    others = _kl(torch.log_softmax(other_q, dim=1), torch.log_softmax(other_p, dim=1))
    return _kl(binary_q, binary_p), others


def _log_softmaxes(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    if student.shape != teacher.shape or labels.shape != student.shape[:1]:
        raise ValueError(
            f"student {tuple(student.shape)}, teacher {tuple(teacher.shape)} and labels "
            f"{tuple(labels.shape)} are not of the same points"
        )
    student, teacher = full_precision(student), full_precision(teacher.detach())
    return (
        torch.log_softmax(student / temperature, dim=1),
        torch.log_softmax(teacher.to(student.dtype) / temperature, dim=1),
    )


def _split(log_p: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(P, C) -> (P,) of the labels and (P, C - 1) of the other classes."""
    others = torch.arange(log_p.shape[1] - 1, device=labels.device)
    others = others + (others >= labels[:, None]).long()
    return log_p.gather(1, labels[:, None]).squeeze(1), log_p.gather(1, others)


def _kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) along the last dimension."""
    return (log_q.exp() * (log_q - log_p)).sum(dim=-1)
