"""A trained teacher as a folder: its weights, what it sees, and how it was made.

The stage teacher leaves one in the work folder; `models/kdmos_teacher` is one that ships. A recipe
that names it (`teacher: {trained: kdmos_teacher}`) distils at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdmos_ros.errors import ModelError
from kdmos_ros.io.atomic import new_file
from kdmos_ros.io.drive_file import LabelledDrive
from kdmos_ros.resources import share_dir
from kdmos_ros.train.config.checking import checked
from kdmos_ros.train.config.teacher_config import TEACHER_FILE, TeacherConfig, WindowSpec
from kdmos_ros.train.data.window_samples import WindowBatch, WindowSample, window_samples
from kdmos_ros.train.networks.teacher import Teacher
from kdmos_ros.train.networks.weights import load_teacher

WEIGHTS = "weights.pt"
_FORMAT = 1


@dataclass(frozen=True)
class TrainedTeacher:
    """A teacher and what it sees.

    Attributes:
        network: with the weights that `save_teacher` keeps; see `rounded`.
        window: the scans that it is given.
        training: how it was made: command, code, recipe, steps, minutes, machine.
    """

    network: Teacher
    window: WindowSpec
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """A hash of the weights: logits of another teacher, or of its older self, are not its."""
        content = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            content.update(name.encode())
            content.update(value.detach().cpu().contiguous().numpy().tobytes())
        return f"teacher {content.hexdigest()[:16]}"

    @torch.no_grad()
    def judged(self, drive: LabelledDrive) -> Iterator[tuple[WindowSample, Tensor]]:
        """Each scan of a drive, and its logits (N, C) float32 on the CPU for rows sample.index."""
        self.network.eval()
        for sample in window_samples(drive, self.window):
            batch = WindowBatch.of([sample]).to(self.network.times.device)
            logits = self.network(batch.points, batch.time, batch.features, batch.sample)
            yield sample, logits.float().cpu()


def rounded(network: Teacher) -> Teacher:
    """The teacher with its weights, in place, as a file keeps them: half precision.

    Statistics of the normalisations stay as they are. Figures and logits are of these weights.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    return network


def save_teacher(teacher: TrainedTeacher, folder: Path) -> None:
    """Write the folder's weights.pt and teacher.json, the one that names the other's hash last."""
    weights = {name for name, _ in teacher.network.named_parameters()}
    state = teacher.network.state_dict()
    stored = {k: (v.half() if k in weights else v).cpu() for k, v in state.items()}
    with new_file(folder / WEIGHTS) as part:
        torch.save(stored, part)
    content = {
        "format": _FORMAT,
        "window": dataclasses.asdict(teacher.window),
        "network": dataclasses.asdict(teacher.network.config),
        "sha256": _hash(folder / WEIGHTS),
        "training": teacher.training,
    }
    with new_file(folder / TEACHER_FILE) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def find_teacher(name: str) -> Path:
    """The folder of a trained teacher, given its path or the name of the one that ships.

    Raises:
        ModelError: there is none; the message lists those that ship.
    """
    path, shipped = Path(name).expanduser(), share_dir() / "models"
    for folder in (path, shipped / path):
        if (folder / TEACHER_FILE).is_file():
            return folder
    names = sorted(spec.parent.name for spec in shipped.glob(f"*/{TEACHER_FILE}"))
    raise ModelError(f"no teacher {name!r}: not a folder with {TEACHER_FILE}, nor one of {names}")


def read_teacher(folder: Path) -> TrainedTeacher:
    """Read a teacher, in evaluation mode on the CPU; nothing in the folder can run code.

    Raises:
        ModelError: a file is missing, damaged or does not fit the other.
    """
    path = folder / TEACHER_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"this version reads format {_FORMAT} only")
        window = checked(WindowSpec, content["window"], "window")
        config = checked(TeacherConfig, content["network"], "network")
        expected, training = content["sha256"], content["training"]
        if config.n_features != window.n_features:
            raise ValueError("its network does not fit its window")
    except OSError as error:
        raise ModelError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a usable teacher: {error}") from error
    if _hash(folder / WEIGHTS) != expected:
        raise ModelError(
            f"{folder / WEIGHTS}: damaged or replaced, its hash is not {TEACHER_FILE}'s"
        )
    return TrainedTeacher(load_teacher(folder / WEIGHTS, config), window, training)


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot read: {error.strerror}") from error
