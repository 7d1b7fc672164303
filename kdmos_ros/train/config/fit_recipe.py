"""How a network is fitted, as a recipe says it."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt
from pydantic.dataclasses import dataclass

from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.object_kinds import Kind
from kdmos_ros.train.config.checking import STRICT, Count, NotNegative, Positive, Share


@dataclass(frozen=True, config=STRICT)
class FitRecipe:
    """How the student is fitted.

    Attributes:
        steps, batch_size: optimiser steps and scans a step.
        learning_rate, weight_decay, warm_up_steps: AdamW.
        cycles: cosines of equal length that the rate goes through, each from the top again (warm
            restarts, Loshchilov and Hutter, ICLR 2017).
        class_weights: of the cross-entropy, one a class; the first is ignored.
        lovasz: weight of the Lovasz-softmax term.
        object_points: points of an object that has its share of them in the loss; those of smaller
            objects count for more, of larger ones for less (see `object_weights`); None: each point
            counts alike.
        kind_weights: what objects of a kind (see `object_kinds.Kind`) count for beside, such as
            {pedestrian: 3}; others count for 1.
        ema: decay of the averaged weights, which are the ones that ship.
        checkpoint_every: steps between two checkpoints.
        false_alarms: share of points that the shipped threshold may call moving on simulated
            drives without movers.
        connected_threshold: probability from which a point moves if it is connected with one that
            does (see `kdmos_ros.segmentation.hysteresis`); None: connections do not count.
        moving_threshold: probability from which a point moves, where it is chosen on recordings;
            None: it is chosen on the held-out drives, by false_alarms.
        precision: "32", or "bf16" or "fp16" for mixed precision on a GPU; CPUs use 32 or bf16,
            which pays where they multiply in it (AMX).
        workers: processes that prepare samples, for each process that trains. Every number of
            them gives another, reproducible, order of the data.
        mix: samples held back to mix the drives, for each of them.
        start_from: what to start from: a checkpoint of an earlier run (`*.pt`, relative to the
            work folder), by its averaged weights, or a model: its folder, or the name of a shipped
            one; None: random weights.
        start_student: settings of the student in that checkpoint that differ from the recipe's: a
            narrower one is widened to the recipe's shape (see `net2wider`). A model tells its own.
        start_features: features of the student there, and of those in averaged_with, if the recipe
            has more; None: the recipe's. A model tells its own.
        averaged_with: checkpoints of other runs, relative to the work folder, such as the one that
            this began from ("start.pt" if that was a model): what ships is the mean of their
            weights and this run's (`weights.mean_student`).
    """

    steps: Count = 4000
    batch_size: Count = 2
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 1e-2
    warm_up_steps: NonNegativeInt = 100
    cycles: Count = 1
    class_weights: tuple[NotNegative, ...] = (0.0, 1.0, 3.0, 6.0)
    lovasz: NotNegative = 1.0
    object_points: Positive | None = None
    kind_weights: dict[str, Positive] = field(default_factory=dict)
    ema: Share = 0.998
    checkpoint_every: Count = 250
    false_alarms: Share = 0.0005
    connected_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    moving_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["32", "bf16", "fp16"] = "32"
    workers: Count = 1
    mix: Count = 48
    start_from: str | None = None
    start_student: dict[str, Any] = field(default_factory=dict)
    start_features: FeatureSpec | None = None
    averaged_with: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.class_weights) != len(CLASS_NAMES):
            raise ValueError(f"class_weights must be {len(CLASS_NAMES)}, one a class")
        unknown = [name for name in self.kind_weights if name.upper() not in Kind.__members__]
        if unknown:
            raise ValueError(f"kind_weights: no kinds of that name: {', '.join(unknown)}")
        if self.kind_weights and self.object_points is None:
            raise ValueError("kind_weights need object_points")
        described = bool(self.start_student or self.start_features)
        if described and self.start_from is None:
            raise ValueError("start_from is missing; start_student and start_features describe it")
        if described and self.starts_from_model:
            raise ValueError("start_student and start_features are for checkpoints, not for models")
        if self.averaged_with and self.start_student:
            raise ValueError("averaged_with is for students of one shape: not with start_student")

    def weights_of_kinds(self) -> dict[int, float]:
        """kind_weights by the number of the kind."""
        return {int(Kind[name.upper()]): weight for name, weight in self.kind_weights.items()}

    @property
    def starts_from_model(self) -> bool:
        """Whether start_from names a model, not a checkpoint."""
        return self.start_from is not None and not self.start_from.endswith(".pt")
