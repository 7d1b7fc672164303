"""A training recipe: one YAML file, validated, that decides everything about a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kdmos_ros.errors import KdmosError
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec, without_unused
from kdmos_ros.features.visibility import VisibilitySpec
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.train.config.augment_recipe import AugmentRecipe
from kdmos_ros.train.config.data_recipe import DataRecipe
from kdmos_ros.train.config.fit_recipe import FitRecipe
from kdmos_ros.train.config.overrides import applied
from kdmos_ros.train.config.plain import with_tuples
from kdmos_ros.train.config.student_config import StudentConfig, small_config
from kdmos_ros.train.config.teacher_config import TeacherConfig, WindowSpec

DISTIL_LOSSES = ("wdcd", "dkd", "kl")


@dataclass(frozen=True)
class DistilRecipe:
    """How the student learns from a teacher's logits.

    Attributes:
        loss: "wdcd" (KDMOS), "dkd" or "kl".
        weight: factor of that loss beside the others.
        temperature: of both softmaxes.
        class_weights: of WDCD's non-target term, one a class; None: KDMOS's.
        external: a folder of logits that another program made (see `logits.import_logits`),
            relative to the work folder; None: the recipe's own teacher makes them.
    """

    loss: str = "wdcd"
    weight: float = 0.3
    temperature: float = 4.0
    class_weights: tuple[float, ...] | None = None
    external: str | None = None

    def __post_init__(self) -> None:
        if self.loss not in DISTIL_LOSSES:
            raise ValueError(f"distil: loss must be one of {DISTIL_LOSSES}, got {self.loss!r}")
        if not self.weight > 0 or not self.temperature > 0:
            raise ValueError("distil: weight and temperature must be above 0")
        if self.class_weights is not None and self.loss != "wdcd":
            raise ValueError("distil: class_weights are of wdcd only")
        if self.class_weights is not None and (
            len(self.class_weights) != len(CLASS_NAMES) or min(self.class_weights) < 0
        ):
            raise ValueError(f"distil: class_weights must be {len(CLASS_NAMES)}, none negative")

    def settings(self) -> dict[str, Any]:
        """Arguments of the loss in kdmos_ros.train.fitting.distillation."""
        values: dict[str, Any] = {"temperature": self.temperature}
        if self.class_weights is not None:
            values["class_weights"] = self.class_weights
        return values


@dataclass(frozen=True)
class TeacherRecipe:
    """The teacher: what it sees, its shape, and how it is fitted; or one that is trained already.

    Attributes:
        window, network, fit: of the teacher to train.
        trained: instead of these, a trained one: its folder, or the name of the one that ships
            (`trained_teacher`).
    """

    window: WindowSpec = field(default_factory=WindowSpec)
    network: dict[str, Any] = field(default_factory=dict)
    fit: FitRecipe = field(default_factory=FitRecipe)
    trained: str | None = None

    def __post_init__(self) -> None:
        untold = (self.window, self.network, self.fit) == (WindowSpec(), {}, FitRecipe())
        if self.trained is not None and not untold:
            raise ValueError("teacher: a trained one has its window, network and fit already")
        if self.fit.connected_threshold is not None:
            raise ValueError("teacher: connected_threshold is of the student only")
        for name in ("start_student", "start_features", "averaged_with"):
            if getattr(self.fit, name):
                raise ValueError(f"teacher: {name} is of the student only")
        if self.fit.starts_from_model:
            raise ValueError("teacher: start_from must be a checkpoint (*.pt)")

    def config(self) -> TeacherConfig:
        """Its shape: its own settings, and the number of features that the window gives."""
        return TeacherConfig(n_features=self.window.n_features, **with_tuples(self.network))


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
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    teacher: TeacherRecipe | None = None
    distil: DistilRecipe | None = None

    def __post_init__(self) -> None:
        if self.distil is not None and self.distil.external is None and self.teacher is None:
            raise ValueError("distil needs a teacher section, or logits made elsewhere (external)")

    def start_config(self) -> StudentConfig:
        """Shape of the student at fit.start_from."""
        settings = {**self.student, **self.fit.start_student}
        features = self.fit.start_features or self.features
        return dataclasses.replace(self, student=settings, features=features).student_config()

    def student_config(self) -> StudentConfig:
        """The student's shape: its own settings, and the sizes that grid and features give."""
        return small_config(
            self.features.n_point,
            self.features.n_motion,
            n_rho=self.grid.n_rho,
            n_phi=self.grid.n_phi,
            n_z=self.grid.n_z,
            **with_tuples(self.student),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the model's specification."""
        content = without_unused(dataclasses.asdict(self))
        if content["fit"]["start_features"] is not None:
            without_unused({"features": content["fit"]["start_features"]})
        return content


def load_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: the file.
        changes: entries to replace, see `overrides.applied`.

    Raises:
        KdmosError: unreadable, unknown entries or values that cannot be; names the file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
        content = applied(content, changes or {})
        fit = content.pop("fit", {})
        if fit.get("start_features") is not None:
            fit["start_features"] = _features(fit["start_features"])
        recipe = Recipe(
            data=DataRecipe.of(content.pop("data", {})),
            grid=PolarGrid(**content.pop("grid", {})),
            features=_features(content.pop("features", {})),
            fit=FitRecipe(**with_tuples(fit)),
            augment=AugmentRecipe(**with_tuples(content.pop("augment", {}))),
            teacher=_teacher(content.pop("teacher", None)),
            distil=_distil(content.pop("distil", None)),
            **content,
        )
        recipe.student_config()
        recipe.start_config()
        if recipe.teacher is not None:
            recipe.teacher.config()
    except OSError as error:
        raise KdmosError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, yaml.YAMLError, KdmosError) as error:
        raise KdmosError(f"{path}: not a usable recipe: {error}") from error
    return recipe


def _features(values: dict[str, Any]) -> FeatureSpec:
    visibility = VisibilitySpec(**with_tuples(values.pop("visibility", {})))
    return FeatureSpec(visibility=visibility, **with_tuples(values))


def _teacher(values: dict[str, Any] | None) -> TeacherRecipe | None:
    if values is None:
        return None
    window = WindowSpec(**with_tuples(values.pop("window", {})))
    fit = FitRecipe(**with_tuples(values.pop("fit", {})))
    return TeacherRecipe(window=window, fit=fit, **values)


def _distil(values: dict[str, Any] | None) -> DistilRecipe | None:
    return None if values is None else DistilRecipe(**with_tuples(values))
