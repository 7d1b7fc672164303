"""A real but tiny model with random weights, made by the package's own export."""

from pathlib import Path

from kdmos_ros.features.grid import PolarGrid
from kdmos_ros.features.spec import FeatureSpec
from kdmos_ros.inference.model import ModelSpec
from kdmos_ros.train.config.recipe import Recipe

GRID = PolarGrid(n_rho=48, n_phi=40, n_z=12)


def make_tiny_model(
    folder: Path,
    seed: int = 0,
    features: FeatureSpec = FeatureSpec(),  # noqa: B008
    query_width: int = 0,
) -> Path:
    """Write a model folder that loads and runs in milliseconds; its labels mean nothing."""
    import torch

    from kdmos_ros.train.export.model_package import write_model
    from kdmos_ros.train.networks.student import Student

    recipe = Recipe(
        name="tiny",
        grid=GRID,
        features=features,
        student={
            "width": 0.25,
            "halo": 4,
            "encoder_widths": (8, 8),
            "query_width": query_width,
        },
    )
    torch.manual_seed(seed)
    student = Student(recipe.student_config()).eval()
    if query_width:  # zeros as yet
        torch.nn.init.normal_(student.key.weight)
    # Untrained, the net hardly reacts to its input; larger weights make differences visible.
    for parameter in student.parameters():
        parameter.data *= 1.7
    write_model(
        student, ModelSpec(name="tiny", grid=GRID, features=features, moving_threshold=0.35), folder
    )
    return folder
