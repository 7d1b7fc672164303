#!/usr/bin/env python3
"""Does training on with half of a recording, without labels, help on its other half?

    kdmos train config/train/kdmos_s.yaml --work WORK --stage simulate
    scripts/try_adaptation.py CLIP --drives WORK/drives --work TRIAL --learn cast
    scripts/try_adaptation.py CLIP ... --also OTHER_CLIP      # what is lost elsewhere

CLIP is a folder with bag/ and labels/; the labels are used for the scores alone. What is learned
from the first half (--learn), beside as many simulated drives as make up two thirds of the data:

    labels   those of `kdmos label --offline` of that half alone, but where it is not sure
    cast     simulated people, riders and vehicles cast into it, and what surely stands
    both     simulated people, riders and vehicles cast into it, and the labels of --offline

Two models of each seed are scored on the second half: what was learned, and its mean with the model
that it began as. docs/ablation.md has the figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare_dufomap import NoLabels

from kdmos_ros.errors import KdmosError
from kdmos_ros.evaluation.bag_evaluation import Report, evaluate_bag
from kdmos_ros.features.ground_tilt import ground_normal
from kdmos_ros.features.sensor_height import sensor_height
from kdmos_ros.geometry.transforms import make_transform
from kdmos_ros.inference.model import find_model, load_spec
from kdmos_ros.io.drive_file import LabelledDrive, save_drive
from kdmos_ros.io.open_bag import BagOptions, open_bag
from kdmos_ros.io.samples import LabelledScan
from kdmos_ros.io.semantickitti import LabelFolder
from kdmos_ros.labels import MOVING, UNLABELLED
from kdmos_ros.pipeline.replay import replay
from kdmos_ros.segmentation.online_segmenter import OnlineSegmenter
from kdmos_ros.segmentation.scan_segmenter import ScanSegmenter
from kdmos_ros.segmentation.segmenter import Segmenter
from kdmos_ros.sim.casting import Recording
from kdmos_ros.train.config.recipe import Recipe, find_recipe, load_recipe
from kdmos_ros.train.data.training_drives import StoredDrive, recorded_drives
from kdmos_ros.train.export.model_package import write_model
from kdmos_ros.train.fitting.checkpoint import CHECKPOINT
from kdmos_ros.train.fitting.fit import fit
from kdmos_ros.train.fitting.initial_weights import START, earlier_student
from kdmos_ros.train.fitting.offline_segmenter import OfflineSegmenter
from kdmos_ros.train.networks.weights import load_student, mean_student

MODEL = "kdmos_s"
STANDS_BELOW = 0.25  # the probability of what surely stands
VARIANTS = 6
HOLE_M = 7.0  # a sensor that stands still never sees the ground nearer than that


def learned_from(bag_path: Path, middle: int, learn: str, sensor: str, target: Path) -> None:
    """A drive file of the first `middle` scans of a bag, labelled without anybody's labels."""
    with ExitStack() as stack:
        judge: ScanSegmenter = NoLabels()
        if learn != "cast":
            students = [Segmenter(find_model(MODEL), provider="cpu", num_threads=1) for _ in "12"]
            judge = stack.enter_context(OfflineSegmenter("kdmos_teacher", students))
        bag = stack.enter_context(open_bag(bag_path, BagOptions()))
        scans: list[LabelledScan] = []
        for one in replay(bag, judge, limit=middle):
            if one.scan is None or one.labels is None or one.moving_probability is None:
                continue
            moves = one.labels == MOVING
            unsure = ~moves & (one.moving_probability >= STANDS_BELOW)
            if not scans:  # nothing tells a student what moves in its first scan
                unsure |= moves
            labels = np.where(unsure, UNLABELLED, one.labels).astype(np.uint8)
            kind = np.zeros(len(labels), np.uint8)
            scans.append(LabelledScan(one.scan, labels, kind, f"half/{one.index:06d}"))
    mount = mount_on_ground(scans)
    if learn == "cast":
        recording = Recording([s.scan for s in scans], mount, sensor, HOLE_M)
        scans = [
            replace(s, labels=recording.place.surely_static(cloud))
            for s, cloud in zip(scans, recording.clouds, strict=True)
        ]
    save_drive(LabelledDrive(scans, mount, sensor), target)


def mount_on_ground(scans: list[LabelledScan]) -> np.ndarray:
    """(4, 4) mount whose base lies on the ground as it is seen, whatever the recording says."""
    points = np.concatenate([s.scan.points for s in scans[::4]])
    up = ground_normal(points)
    if up is None:
        raise KdmosError("the ground around the sensor is not seen")
    ahead = np.array([1.0, 0.0, 0.0]) - up[0] * up
    ahead /= np.linalg.norm(ahead)
    rotation = np.stack([ahead, np.cross(up, ahead), up])
    height = sensor_height((points @ rotation.T).astype(np.float32))
    if height is None:
        raise KdmosError("the height of the sensor over the ground is not known")
    return make_transform(rotation, [0.0, 0.0, height])


def recipe_of(args: argparse.Namespace, seed: int, half: Path) -> Recipe:
    """How a student is trained on."""
    source: dict[str, Any] = {"path": str(half), "name": "half"}
    if args.learn == "labels":
        source["weight"] = VARIANTS
    else:
        source.update(cast={"variants": VARIANTS, "hole_m": HOLE_M}, sensor=args.sensor)
    fitting = {
        "start_from": args.start or MODEL,
        "averaged_with": [args.start or START],
        "steps": args.steps,
        "learning_rate": args.rate,
        "warm_up_steps": 20,
        "checkpoint_every": 50,
        "precision": "bf16",
        "object_points": 200,
        "mix": 32,
    }
    changes = {"seed": seed, "data.sources": [source]}
    changes.update({f"fit.{name}": value for name, value in fitting.items()})
    return load_recipe(find_recipe("finetune"), changes)


def trained(args: argparse.Namespace, seed: int, half: Path) -> dict[str, Path]:
    """Folders of the models that a seed gives, by name."""
    folder = args.work / f"{args.learn}-{seed}"
    recipe = recipe_of(args, seed, half)
    simulated = sorted(args.drives.glob("*.npz"))
    chosen = np.random.default_rng(seed).choice(len(simulated), args.simulated, replace=False)
    drives = [StoredDrive(simulated[i]) for i in sorted(chosen)]
    recorded = args.work / f"recorded_{args.learn}"
    fit(recipe, [*drives, *recorded_drives(recipe.data.sources, recipe.data, recorded)], folder)
    own = load_student(folder / CHECKPOINT, recipe.student_config())
    start = earlier_student(folder, recipe.fit.averaged_with[0], recipe)
    spec = load_spec(find_model(MODEL))
    models = {}
    for name, student in {"own": own, "mean": mean_student([own, start])}.items():
        models[name] = folder / name
        write_model(student, replace(spec, name=f"{args.learn}_{seed}_{name}"), models[name])
    return models


def score(segmenter: ScanSegmenter, clip: Path, first: int = 0) -> dict[str, Any]:
    """Figures of the scans of a clip from one on."""
    report = Report("", "")
    with open_bag(clip / "bag", BagOptions()) as bag, LabelFolder(clip / "labels") as truth:
        evaluate_bag((s for s in replay(bag, segmenter) if s.index >= first), truth, report)
    return report.to_dict()


def tell(name: str, model: Path, args: argparse.Namespace, middle: int) -> None:
    """Score a model and print and keep its figures."""

    def segmenter() -> ScanSegmenter:
        return OnlineSegmenter(Segmenter(model, provider="cpu", num_threads=args.threads))

    found = {"second half": score(segmenter(), args.clip, middle)}
    found.update({clip.name: score(segmenter(), clip) for clip in args.also})
    for clip, figures in found.items():
        iou, objects = figures["iou_moving"], figures["by_object"]
        bands = ", ".join(f"{band['found']} of {band['objects']}" for band in objects["by_range"])
        print(
            f"{name}, {clip}: IoU {iou or 0:.4f}, objects {objects['found']} of "
            f"{objects['objects']} ({bands}), "
            f"{objects['false_alarms_a_scan']:.3f} false alarms a scan",
            flush=True,
        )
    with (args.work / "figures.jsonl").open("a") as file:
        file.write(json.dumps({"name": name, **found}) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, help="folder with bag/ and labels/")
    parser.add_argument("--drives", type=Path, required=True, help="folder of simulated drives")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--learn", choices=("labels", "cast", "both"), default="both")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--simulated", type=int, default=24, help="drives beside the recording")
    parser.add_argument("--sensor", default="pandar40", help="whose noise cast points have")
    parser.add_argument("--start", help="checkpoint of the model's weights before its export")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="clips to score besides")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        with open_bag(args.clip / "bag", BagOptions()) as bag:
            middle = bag.n_scans // 2
        half = args.work / f"learned_{args.learn}" / "drive_half.npz"
        if not half.exists():
            learned_from(args.clip / "bag", middle, args.learn, args.sensor, half)
            torch.set_num_threads(args.threads)
        if not (args.work / "figures.jsonl").exists():
            tell("start", find_model(MODEL), args, middle)
        for seed in args.seeds:
            for name, model in trained(args, seed, half).items():
                tell(f"{args.learn} {seed} {name}", model, args, middle)
    except KdmosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
