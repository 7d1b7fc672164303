"""A training recipe: one YAML file, validated, that decides everything about a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import NonNegativeInt
from pydantic.dataclasses import dataclass

from kdmos_ros.errors import KdmosError
from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec, without_unused
from kdmos_ros.labels import CLASS_NAMES
from kdmos_ros.resources import share_dir
from kdmos_ros.train.config.augment_recipe import AugmentRecipe
from kdmos_ros.train.config.checking import (
    STRICT,
    NotNegative,
    Positive,
    checked,
    refuse_given,
)
from kdmos_ros.train.config.data_recipe import DataRecipe
from kdmos_ros.train.config.fit_recipe import FitRecipe
from kdmos_ros.train.config.overrides import applied
from kdmos_ros.train.config.student_config import StudentConfig, small_config
from kdmos_ros.train.config.teacher_config import TeacherConfig, WindowSpec

Drive = TypeVar("Drive")


@dataclass(frozen=True, config=STRICT)
class DistilRecipe:
    """How the student learns from a teacher's logits.

    Attributes:
        loss: "wdcd" (KDMOS), "dkd" or "kl".
        weight: factor of that loss beside the others; 0.3 is KDMOS's.
        temperature: of both softmaxes.
        class_weights: of WDCD's non-target term, one a class; None: KDMOS's.
        external: a folder of logits that another program made (see `logits.import_logits`),
            relative to the work folder; None: the recipe's own teacher makes them.
        knowable: leave out what a student that sees no future cannot know or should not learn:
            scans without a past, and points where the teacher errs (`distillation.knowable`).
            Points without a label, as of recordings, are learned from the teacher alone.
        judged_drives: how many of the simulated drives the teacher judges, the first ones, for that
            takes time; the others teach by their labels alone. None: all. Recorded ones always.
    """

    loss: Literal["wdcd", "dkd", "kl"] = "wdcd"
    weight: Positive = 0.3
    temperature: Positive = 4.0
    class_weights: tuple[NotNegative, ...] | None = None
    external: str | None = None
    knowable: bool = False
    judged_drives: NonNegativeInt | None = None

    def __post_init__(self) -> None:
        if self.class_weights is None:
            return
        if self.loss != "wdcd":
            raise ValueError("class_weights are of wdcd only")
        if len(self.class_weights) != len(CLASS_NAMES):
            raise ValueError(f"class_weights must be {len(CLASS_NAMES)}, one a class")

    def settings(self) -> dict[str, Any]:
        """Arguments of the loss in kdmos_ros.train.fitting.distillation."""
        values: dict[str, Any] = {"temperature": self.temperature}
        if self.class_weights is not None:
            values["class_weights"] = self.class_weights
        return values


@dataclass(frozen=True, config=STRICT)
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
            raise ValueError("a trained one has its window, network and fit already")
        if self.fit.connected_threshold is not None:
            raise ValueError("connected_threshold is of the student only")
        for name in ("start_student", "start_features", "averaged_with"):
            if getattr(self.fit, name):
                raise ValueError(f"{name} is of the student only")
        if self.fit.starts_from_model:
            raise ValueError("start_from must be a checkpoint (*.pt)")

    def config(self) -> TeacherConfig:
        """Its shape: its own settings, and the number of features that the window gives."""
        sizes = {"n_features": self.window.n_features}
        refuse_given(self.network, sizes, "teacher.network")
        return checked(TeacherConfig, {**self.network, **sizes}, "teacher.network")


@dataclass(frozen=True, config=STRICT)
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
            raise ValueError("distil needs a teacher section, or external logits (external)")

    def start_config(self) -> StudentConfig:
        """Shape of the student at fit.start_from."""
        settings = {**self.student, **self.fit.start_student}
        features = self.fit.start_features or self.features
        return self._student(settings, features, "fit.start_student")

    def student_config(self) -> StudentConfig:
        """The student's shape: its own settings, and the sizes that grid and features give."""
        return self._student(self.student, self.features, "student")

    def _student(
        self, settings: dict[str, Any], features: FeatureSpec, where: str
    ) -> StudentConfig:
        grid = {name: getattr(self.grid, name) for name in ("n_rho", "n_phi", "n_z")}
        sizes = {"n_point_features": features.n_point, "n_motion": features.n_motion, **grid}
        refuse_given(settings, sizes, where)
        return small_config(where=where, **sizes, **settings)

    def judged(self, drives: Sequence[Drive]) -> list[Drive]:
        """Those of the drives to learn from, simulated ones first, that the teacher judges."""
        of = None if self.distil is None else self.distil.judged_drives
        return list(drives) if of is None else [*drives[:of], *drives[self.data.drives :]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the model's specification."""
        content = without_unused(dataclasses.asdict(self))
        if content["fit"]["start_features"] is not None:
            without_unused({"features": content["fit"]["start_features"]})
        return content


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe, given its path or the name of a shipped one.

    Raises:
        KdmosError: there is no such recipe; the message lists those that are shipped.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    folder = share_dir() / "config" / "train"
    shipped = folder / f"{path}.yaml"
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
    raise KdmosError(f"no recipe '{name}': not a file, nor one of {names}")


def load_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: the file.
        changes: entries to replace, see `overrides.applied`.

    Raises:
        KdmosError: unreadable, unknown entries or values that cannot be; one line that names the
            file, the entry's path in it and the reason.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
        recipe = checked(Recipe, applied(content, changes or {}))
        recipe.student_config()
        recipe.start_config()
        if recipe.teacher is not None:
            recipe.teacher.config()
    except OSError as error:
        raise KdmosError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, TypeError, yaml.YAMLError, KdmosError) as error:
        reason = " ".join(str(error).split())  # YAML's are of several lines
        raise KdmosError(f"{path}: not a usable recipe: {reason}") from error
    return recipe
