"""`kdmos label` for several bags."""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kdmos_ros.errors import KdmosError
from kdmos_ros.labelling.interrupt import Interrupt
from kdmos_ros.labelling.many import Job, Result, run_processes
from kdmos_ros.thread_pool import thread_count

_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def label_many(args: argparse.Namespace) -> int:
    """Label the bags, each on its own; returns the exit status.

    Raises:
        KdmosError: wrong options, or some bag failed; the others are done nevertheless.
    """
    jobs = _jobs(args)
    results: list[Result] = []

    def on_result(result: Result) -> None:
        results.append(result)
        text = result.text
        if result.status in _STOPPED:
            text = f"{result.name}: {text}"
        elif result.status != 0:
            text = f"{result.name}: failed: {text}"
        stream = sys.stdout if result.status == 0 else sys.stderr
        print(f"[{len(results)}/{len(jobs)}] {text}", file=stream, flush=True)

    if args.cluster:
        from kdmos_ros.labelling.cluster import run_on_dask

        run_on_dask(args.scheduler, jobs, on_result)
    else:
        with Interrupt() as interrupt:
            run_processes(jobs, args.jobs, interrupt, on_result)
        if interrupt.signal:
            print("kdmos: interrupted; --resume continues", file=sys.stderr)
            return 128 + interrupt.signal
    failed = [result.name for result in results if result.status != 0]
    if failed:
        raise KdmosError(f"{len(failed)} of {len(jobs)} bags failed: {', '.join(sorted(failed))}")
    return 0


def _jobs(args: argparse.Namespace) -> list[Job]:
    names = _names([path.resolve() for path in args.bags])
    inner = args.semantickitti or args.map
    if inner is not None and (inner.is_absolute() or ".." in inner.parts):
        raise KdmosError(f"with --out-dir, {inner} must be a name inside the folder of each bag")
    try:
        args.out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KdmosError(f"cannot write {args.out_dir}: {error.strerror}") from error
    root = args.out_dir.resolve()
    return [
        Job(name, _arguments(args, path.resolve(), root / name))
        for name, path in zip(names, args.bags, strict=True)
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each bag: its own, with that of its folder where several are named alike."""
    from kdmos_ros.commands._options import bag_name

    names = [bag_name(path) for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}_{name}" for path, name in zip(paths, names, strict=True)]
    for name, number in Counter(names).items():
        if number > 1:
            raise KdmosError(f"{number} bags have the name {name}: label them one by one")
    return names


def _arguments(args: argparse.Namespace, bag: Path, out: Path) -> tuple[str, ...]:
    arguments = ["label", str(bag)]
    if args.semantickitti:
        arguments += ["--semantickitti", str(out / args.semantickitti)]
    elif args.map:
        arguments += ["--map", str(out / args.map), "--voxel", repr(args.voxel)]
        arguments += ["--height-colours"] if args.height_colours else []
        arguments += ["--smooth-ground"] if args.smooth_ground else []
    else:
        arguments += [str(out), "--topic", args.topic]
    if args.drop_moving:
        arguments.append("--drop-moving")
    if args.lookahead:
        arguments += ["--lookahead", str(args.lookahead)]
    if args.resume:
        arguments.append("--resume")
    return (*arguments, *shared_arguments(args))


def shared_arguments(args: argparse.Namespace) -> list[str]:
    """The options that say how bags are read and labelled, as arguments for another process."""
    arguments = []
    model = Path(args.model).expanduser() if args.model else None
    if model is not None:
        arguments += ["--model", str(model.resolve()) if model.exists() else args.model]
    for option, topic in (("--cloud", args.cloud), ("--odom", args.odom)):
        if topic:
            arguments += [option, topic]
    if args.frame:
        arguments.append(f"--frame={args.frame}")
    if args.lidar:
        own = Path(args.lidar).expanduser()
        arguments += ["--lidar", str(own.resolve()) if own.exists() else args.lidar]
    arguments += ["--pose-source", args.pose_source, "--fixed-frame", args.fixed_frame]
    if args.frame:
        arguments += ["--frame", args.frame]
    if args.deskew:
        arguments.append(f"--deskew={args.deskew}")
    if args.base_to_lidar is not None:
        arguments.append(f"--base-to-lidar={_mount_text(args.base_to_lidar)}")
    arguments += ["--provider", args.provider, "--precision", args.precision]
    if args.provider_options:
        arguments += ["--provider-options", args.provider_options]
    if args.offline:
        arguments.append("--offline")
    if args.teacher:
        own = Path(args.teacher).expanduser()
        arguments += ["--teacher", str(own.resolve()) if own.exists() else args.teacher]
    if args.teacher_alone:
        arguments.append("--teacher-alone")
    return [*arguments, "--threads", str(_threads(args))]


def _threads(args: argparse.Namespace) -> int:
    """Threads of each process: all usable cores are shared by those that run at the same time."""
    if args.threads or args.cluster:
        return int(args.threads)
    return max(1, thread_count(0) // args.jobs)


def _mount_text(base_T_sensor: object) -> str:
    import numpy as np

    from kdmos_ros.geometry.transforms import matrix_to_quaternion

    matrix = np.asarray(base_T_sensor)
    numbers = [*matrix[:3, 3], *matrix_to_quaternion(matrix[:3, :3])]
    return ",".join(repr(float(v)) for v in numbers)
