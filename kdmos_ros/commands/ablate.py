"""`kdmos ablate`: what each part of a recipe is worth."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from kdmos_ros.commands._options import positive


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "ablate",
        help="train variants of a recipe and compare them",
        description="Train every student of a plan with the same budget, score all on the same"
        " held-out simulated drives, and write a table. Finished students are not"
        " trained again, and one that was stopped continues. Figures are those at each network's"
        " own best threshold.",
    )
    parser.add_argument("plan", type=Path, help="YAML file, see config/ablation.yaml")
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="for drives, teacher and students"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="table to write, Markdown")
    parser.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="students trained in parallel (default: 1)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and compare; returns the exit status."""
    # Read by OpenMP when torch is imported, as in `kdmos train`.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from kdmos_ros.io.atomic import new_file
    from kdmos_ros.train.ablation import load_plan, run_plan
    from kdmos_ros.train.ablation_report import report

    plan = load_plan(args.plan)
    run_plan(plan, args.work, args.jobs)
    text = report(plan, args.work, f"kdmos ablate {args.plan} --work {args.work.name}")
    if args.report is None:
        print(text)
    else:
        with new_file(args.report) as part:
            part.write_text(text, encoding="utf-8")
    return 0
