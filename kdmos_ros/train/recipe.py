"""A training recipe: one YAML file, validated, that decides everything about a model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kdmos_ros.errors import KdmosError
from kdmos_ros.features import FeatureSpec
from kdmos_ros.grid import PolarGrid
from kdmos_ros.train.config import StudentConfig, small_config
from kdmos_ros.visibility import VisibilitySpec


@dataclass(frozen=True)
class DataRecipe:
    """Which drives are simulated.

    Attributes:
        drives, validation_drives: how many; the seeds of the two never meet.
        scans: scans a drive; each one is a sample, the first ones with a short history.
        spacing_s: time between two of them, the shortest lag.
        sensors: name in kdmos_ros.sim to its share.
    """

    drives: int = 500
    validation_drives: int = 40
    scans: int = 11
    spacing_s: float = 0.2
    sensors: dict[str, float] = field(default_factory=lambda: {"hdl64e": 1.0})


@dataclass(frozen=True)
class FitRecipe:
    """How the student is fitted.

    Attributes:
        steps, batch_size: optimiser steps and scans a step.
        learning_rate, weight_decay, warm_up_steps: AdamW.
        cycles: cosines of equal length that the rate goes through, each from the top again (warm
            restarts, Loshchilov and Hutter, ICLR 2017).
        class_weights: of the cross-entropy, one a class; the first is ignored.
        lovasz: weight of the Lovasz-softmax term.
        ema: decay of the averaged weights, which are the ones that ship.
        checkpoint_every: steps between two checkpoints.
        false_alarms: share of points that the shipped threshold may call moving on simulated
            drives without movers.
    """

    steps: int = 4000
    batch_size: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up_steps: int = 100
    cycles: int = 1
    class_weights: tuple[float, ...] = (0.0, 1.0, 3.0, 6.0)
    lovasz: float = 1.0
    ema: float = 0.998
    checkpoint_every: int = 250
    false_alarms: float = 0.0005


@dataclass(frozen=True)
class Recipe:
    """A whole recipe. See config/train/ for examples."""

    name: str
    seed: int = 1
    data: DataRecipe = field(default_factory=DataRecipe)
    grid: PolarGrid = field(default_factory=PolarGrid)
    features: FeatureSpec = field(default_factory=FeatureSpec)
    student: dict[str, Any] = field(default_factory=dict)
    fit: FitRecipe = field(default_factory=FitRecipe)

    def student_config(self) -> StudentConfig:
        """The student's shape: its own settings, and the sizes that grid and features give."""
        return small_config(
            self.features.n_point,
            self.features.n_motion,
            n_rho=self.grid.n_rho,
            n_phi=self.grid.n_phi,
            n_z=self.grid.n_z,
            **_tuples(self.student),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the model's specification."""
        return dataclasses.asdict(self)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        KdmosError: unreadable, unknown entries or values that cannot be; names the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
        features = content.pop("features", {})
        visibility = VisibilitySpec(**_tuples(features.pop("visibility", {})))
        recipe = Recipe(
            data=DataRecipe(**content.pop("data", {})),
            grid=PolarGrid(**content.pop("grid", {})),
            features=FeatureSpec(visibility=visibility, **_tuples(features)),
            fit=FitRecipe(**_tuples(content.pop("fit", {}))),
            **content,
        )
        recipe.student_config()
    except OSError as error:
        raise KdmosError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, yaml.YAMLError, KdmosError) as error:
        raise KdmosError(f"{path}: not a usable recipe: {error}") from error
    return recipe


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
