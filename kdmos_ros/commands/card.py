"""`kdmos card`: write a model's card."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "card",
        help="write a model's card",
        description="Write MODEL/CARD.md from the model's specification, the figures in"
        " MODEL/figures/*.json (written by kdmos eval DATA --model MODEL --json"
        " MODEL/figures/NAME.json) and the text in MODEL/NOTES.md. The folder of a teacher has its"
        " figures in figures.json (kdmos train RECIPE --stage teacher).",
    )
    parser.add_argument(
        "model", help="model folder, name of a shipped model, or folder of a trained teacher"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the card; returns the exit status."""
    from kdmos_ros.errors import KdmosError
    from kdmos_ros.inference.model import find_model, load_spec
    from kdmos_ros.train.config.teacher_config import TEACHER_FILE
    from kdmos_ros.train.reports.card import CARD, write_card

    folder = Path(args.model)
    if (folder / TEACHER_FILE).is_file():
        from kdmos_ros.train.fitting.trained_teacher import read_teacher
        from kdmos_ros.train.reports.teacher_card import write_teacher_card

        stale = write_teacher_card(read_teacher(folder), folder)
    else:
        folder = find_model(args.model)
        stale = write_card(load_spec(folder), folder)
    print(f"wrote {folder / CARD}")
    if stale:
        names = ", ".join(path.name for path in stale)
        raise KdmosError(f"left out, measured with other weights: {names}; run kdmos eval again")
    return 0
