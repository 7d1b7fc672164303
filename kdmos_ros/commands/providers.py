"""`kdmos providers`: where models can run here, and whether one runs there as it should."""

from __future__ import annotations

import argparse

from kdmos_ros.commands._options import add_model_options, model_folder, positive

EXIT_BAD = 1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "providers",
        help="show where models run; check a GPU",
        description="Lists what the installed ONNX Runtime can run models on. With --check: runs"
        " one, shows which nodes of its graphs fell back to the CPU, and compares its labels with"
        " the CPU's; status 1 if something is wrong. --operators compares the graphs' operators"
        " with the tables of CUDA and TensorRT; it needs no GPU.",
    )
    add_model_options(parser)
    parser.add_argument("--check", action="store_true", help="run the model on the provider")
    parser.add_argument("--operators", action="store_true", help="list the operators of the model")
    parser.add_argument(
        "--points", type=positive, default=120000, metavar="N", help="points per scan for --check"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show and check; returns the exit status."""
    _show(args)
    good = True
    if args.operators:
        good = _operators(args)
    if args.check:
        good = _check(args) and good
    return 0 if good else EXIT_BAD


def _show(args: argparse.Namespace) -> None:
    import onnxruntime

    from kdmos_ros.defaults import PROVIDERS
    from kdmos_ros.inference.providers import usable_provider

    there = onnxruntime.get_available_providers()
    keys = [key for key, name in PROVIDERS.items() if name in there]
    used = usable_provider(args.provider)
    print(f"onnxruntime {onnxruntime.__version__}: {', '.join(keys)}; {args.provider} takes {used}")


def _operators(args: argparse.Namespace) -> bool:
    from kdmos_ros.inference.gpu_operators import operators, problems
    from kdmos_ros.inference.model import GRAPHS, load_spec
    from kdmos_ros.inference.on_device import READ_GRAPH, SCATTER_GRAPH

    folder = model_folder(args.model)
    spec = load_spec(folder)
    names = {spec.graph_in(g, p) for p in {"fp32", "fp16"} & set(spec.precisions) for g in GRAPHS}
    graphs = [(folder / name, True) for name in sorted(names)]
    good = True
    for path, tensorrt in [*graphs, (SCATTER_GRAPH, False), (READ_GRAPH, False)]:
        found = problems(path, tensorrt)
        good = good and not found
        verdict = "CUDA and TensorRT have all" if tensorrt else "CUDA has all"
        print(f"\n{path.name}: {'; '.join(found) or verdict}")
        for name, opset, types, count in operators(path):
            print(f"  {count:4} {name} (opset {opset}): {types or 'no types'}")
    return good


def _check(args: argparse.Namespace) -> bool:
    from kdmos_ros.evaluation.provider_check import compare, placements

    where = (
        model_folder(args.model),
        args.provider,
        args.precision,
        args.threads,
        args.provider_options,
        args.points,
    )
    good = True
    print("\nnodes that ran on each provider:")
    for stage in placements(*where):
        nodes = ", ".join(f"{name} {count}" for name, count in sorted(stage.nodes.items()))
        print(f"  {stage.stage}: {nodes or 'none seen'}; {stage.copies} copies")
        for node in stage.fell_back:
            print(f"    on the CPU instead: {node}")
        good = good and not stage.fell_back and bool(stage.nodes)
    labels = compare(*where)
    print(
        f"beside the CPU in fp32: moving probability differs by up to {labels.largest:.2g}"
        f" (tolerance {labels.tolerance:g}); {labels.other_labels:.3%} of the labels,"
        f" {labels.other_moving:.3%} between moving and not"
    )
    good = good and labels.good
    print("good" if good else "NOT as expected")
    return good
