"""`kdmos quantize`: a model's graphs in INT8 for CPUs and half precision for GPUs."""

from __future__ import annotations

import argparse

from kdmos_ros.commands._options import model_folder, positive

# train.quantize.METHODS, repeated since importing it takes seconds and needs onnx.
METHODS = ("minmax", "entropy", "percentile")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "quantize",
        help="add INT8 and half-precision graphs to a model",
        description="Writes bev.int8.onnx (for CPUs) or encoder.fp16.onnx and bev.fp16.onnx (for"
        " GPUs) into a model folder, next to the graphs in single precision, and records them in"
        " model.json.",
    )
    parser.add_argument("model", help="model folder")
    parser.add_argument(
        "--int8",
        action="append",
        metavar="DRIVES",
        help="drives to measure the ranges of the activations on: a recording (no labels are"
        " needed), the folder drives/ of a training run, or sim:FIRST-LAST; repeatable, each gives"
        " as many scans",
    )
    parser.add_argument("--fp16", action="store_true", help="half precision")
    parser.add_argument(
        "--scans",
        type=positive,
        default=32,
        metavar="N",
        help="scans to measure the ranges on (default: 32)",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="minmax",
        help="how to choose a range from what was seen (default: minmax)",
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAME",
        help="keep convolutions whose names start with this in single precision; repeatable",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the graphs and say how large they are; returns the exit status."""
    from kdmos_ros.errors import KdmosError
    from kdmos_ros.inference.engine import Engine
    from kdmos_ros.train.export.calibration_scans import calibration_drives, inputs_of
    from kdmos_ros.train.export.quantize import halve, quantize

    if not args.int8 and not args.fp16:
        raise KdmosError("nothing to do: give --int8 DRIVES, --fp16 or both")
    folder = model_folder(args.model)
    if args.int8:
        places = [calibration_drives(where, args.scans) for where in args.int8]
        inputs = inputs_of(Engine(folder, "cpu", precision="fp32"), places, args.scans)
        drives = [drive.name for drives in places for drive in drives]
        note = {"method": args.method, "scans": args.scans, "drives": len(drives)}
        if args.keep:
            note["kept"] = args.keep
        spec = quantize(folder, inputs, args.method, args.keep, note)
    if args.fp16:
        spec = halve(folder)
    for name in spec.sha256:
        print(f"{folder / name}  {(folder / name).stat().st_size / 1e6:.2f} MB")
    return 0
